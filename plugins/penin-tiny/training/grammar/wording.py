"""The words of instructions: whole sentences, what a text is called, and what must not be lost."""

from __future__ import annotations

from .chance import phrases

VAGUE = phrases(
    """
    Process this text. | Help with this. | Please look at the following. | Do the task. | Go. |
    Handle the message. | Read it. | What about this? | Answer. | Work on the input. | Hello. |
    Deal with this please. | Can you help me? | Here is a text. | Do what is needed. | Next. | Do
    your best. | Take care of it. | You know what to do. | Look at this. | New message. | | Please
    process. | Your turn. | As usual. | Something came in. | Have a look. | What now? | Please
    handle this. | Continue. | Work. | Deal with the input. | Process it. | Start. | Help. | Can
    you look at it? | See below. | It is your turn. | Please help. | Text: | Do it.
    """
)
SYSTEM = phrases(
    """
    You are a helpful assistant. | Be precise. | Think carefully. | You are an expert. | Please be
    accurate. | Follow the instructions. | You are a careful clerk. | Work carefully. | You work
    in an office. | You are good with data. | Take your time. | Read with care. | You are an
    assistant for a small company. | We count on you. | Accuracy matters.
    """
)
STRICT = phrases(
    """
    No extra text. | Nothing else. | Only the answer. | Do not explain. | No comments. | Nothing
    more. | No explanation. | Without any other text. | Do not add anything. | Do not write
    anything else. | No other words, please. | Output nothing else. | Be brief.
    """
)
CHATTY = phrases(
    """
    Be friendly. | Be polite. | Explain in a sentence. | Use full sentences. | Write a full
    sentence. | Answer politely. | Be chatty.
    """
)
#: How the texts of a task are called.
NOUNS = {
    "json": phrases(
        """
        text | text | note | message | mail | entry | customer note | document | e-mail | lines
        """
    ),
    "extract": phrases("text | text | note | message | mail | passage | document | entry | record"),
    "headline": phrases(
        """
        text | text | news | story | report | article | news text | message | piece
        """
    ),
    "sentiment": phrases(
        """
        text | text | review | message | opinion | comment | guest's review | feedback
        """
    ),
    "intent": phrases(
        """
        text | text | message | mail | customer's message | request | customer mail
        """
    ),
    "booking": phrases(
        """
        message | message | text | booking request | request | chat message | guest's message |
        sentence
        """
    ),
    "log": phrases("line | text | log line | log line | log entry | entry | log message | log"),
    "invoice": phrases("line | text | invoice | invoice | bill | entry | invoice line | document"),
}
#: Words that carry the meaning of an instruction and are never disturbed.
ESSENTIAL = phrases(
    """
    json | only | sentence | value | word | headline | first | key | label | capital | question |
    asked | asks | answer | nothing | short | brief | main | important | classify | sentiment |
    intent | bare | exact | alone | else | tense | single | what happened | details | data |
    fields | facts | verbatim | quote
    """
)
