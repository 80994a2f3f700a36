"""How instructions are put together: rules whose references ``<name>`` are drawn in turn."""

from __future__ import annotations

from .chance import phrases

RULES = {
    "open": phrases(
        """
        | | | | | please | please | could you | can you | would you | your task is to | I want you
        to | I would like you to | now | kindly | your job is to | we need you to | try to | you
        should | you have to | would you please | could you please | it is your task to | go and |
        help me and | just | let us | you are asked to | the task: | your job:
        """
    ),
    "get": phrases(
        """
        extract | extract | return | give | find | output | pull out | get | list | read | copy |
        collect | pick out | fetch | take | identify | note | gather | report | write down | parse
        | produce | provide | search for | look for | show | write | give me | tell me | pick |
        detect | grab | locate | name | look up | state | send me | retrieve | filter out | spot
        """
    ),
    "hand": phrases(
        """
        return | give | write | hand | send | put | output | present | format | deliver | report |
        print
        """
    ),
    "source": phrases(
        """
        | | | | | from the <noun> | out of the <noun> | in the <noun> | of the <noun> | from this
        <noun> | from it | mentioned in the <noun> | that you find in the <noun> | given in the
        <noun> | found in the <noun> | out of this | from the <noun> below | from what follows |
        you see here
        """
    ),
    "object": phrases(
        """
        JSON | JSON | JSON | a JSON object | a JSON object | one JSON object | valid JSON | JSON
        format | a JSON dictionary | a JSON record | a single JSON object | a JSON dict | a JSON
        structure | a JSON document | a small JSON object | plain JSON | a flat JSON object | a
        JSON map | JSON data
        """
    ),
    "as": phrases(
        """
        as | as | as | in | into | in the form of | formatted as | in | as | using | to
        """
    ),
    "with": phrases(
        """
        with the keys | with | with | with keys | having | that has | holding | containing | that
        contains | whose keys are | with the fields | with fields | made of | consisting of | that
        holds | including | for | of | that lists | with the entries | that gives
        """
    ),
    "use_json": phrases(
        """
        Use JSON. | Answer in JSON. | Answer as JSON. | JSON please. | Reply in JSON. | Format:
        JSON. | Respond with JSON. | Return JSON. | Reply with <object>. | Respond with <object>.
        | As JSON. | The format is JSON. | Write JSON. | Output JSON. | JSON only. | Give
        <object>. | In JSON, please. | Your answer is <object>. | The output is <object>. | Make
        it <object>. | Answer with <object>. | Answer only in JSON. | The reply must be <object>.
        | The result should be <object>.
        """
    ),
    "need": phrases(
        """
        I need | I want | we need | I would like | I would like to have | give me | let me have |
        show me | I am looking for | we want | I only need | what I need is | needed: | wanted: |
        I have to know | please give me | I'd like | of interest are | all I want is
        """
    ),
    "convert": phrases(
        """
        turn | convert | transform | parse | change | translate | rewrite | bring | put | make |
        map
        """
    ),
    "read": phrases(
        """
        read | look at | go through | check | take | see | analyse | study | scan | use | inspect
        """
    ),
    "objects": phrases(
        """
        <open> <get> <keys> <source> <as> <object>. | <open> <get> <keys> <source> <as> <object>.
        | <open> <get> <keys> <source> and <hand> them <as> <object>. | <open> <get> <keys>
        <source> and <hand> it back <as> <object>. | <open> <get> <keys> <source>. <use_json> |
        <open> <hand> <object> <with> <keys> <source>. | <open> <get> <object> <with> <keys>. |
        <object> <with> <keys>. | <object>: <keys>. | <need> <keys> <source> <as> <object>. |
        <need> <keys> <source>. <use_json> | <need> <object> <with> <keys>. | <open> <convert> the
        <noun> into <object> <with> <keys>. | <noun> to JSON: <keys>. | <noun> to <object>. Keys:
        <keys>. | what are <keys>? <use_json> | which <keys> does the <noun> have? <use_json> |
        keys: <keys>. format: JSON. | <keys>. <use_json> | <use_json> <with> <keys>. | which of
        <keys> does the <noun> <mention>? <use_json> | <open> <read> the <noun> and <get> <keys>
        <as> <object>. | <open> <read> the <noun> and <hand> <object> <with> <keys>. | from the
        <noun>, <get> <keys>. <use_json> | given the <noun>, <hand> <object> <with> <keys>. | you
        get a <noun>. <get> <keys> <as> <object>. | you see a <noun>. <use_json> Keys: <keys>. |
        the answer should be <object> <with> <keys>. | <use_json> <need> <keys>. | here is a
        <noun>. <need> <keys> <as> <object>. | respond with <object> <with> <keys>. | reply with
        <object> <with> <keys> <source>. | <use_json> The keys are <keys>. | what does the <noun>
        say about <keys>? <use_json> | fields: <keys>. <use_json> | <keys> <as> <object>. | <keys>
        <as> <object>, please. | fill <keys> <as> <object>. | JSON keys: <keys>. | the JSON keys
        are <keys>. | <object>, keys <keys>. | the <noun> becomes <object> <with> <keys>. | <noun>
        in, JSON out: <keys>. | <open> <convert> the <noun>: JSON, fields <keys>. | <open>
        <convert> this <noun> to JSON, <count> keys: <keys>. | you write <count> JSON fields:
        <keys>. | the answer holds the JSON fields <keys>. | there are <count> keys in your
        JSON: <keys>. | JSON of <count> fields, <keys>, all of them copied. | a program reads the
        answer, so it is JSON: <keys>. | our database wants JSON with the columns <keys>. | <keys>:
        <hand> them <as> <object>. | <keys> - I need them <as> <object>. | we store <keys> of
        every <noun>. <use_json> | what matters are <keys>. <use_json> | the columns are <keys>.
        <use_json> | <open> prepare <object> for a program, keys: <keys>. | the keys of the
        JSON object are called <keys>. | every <noun> has <keys>. <use_json> | <open> tag
        <keys> <source>. <use_json> | take <keys>, leave the rest. <use_json>
        """
    ),
    "mention": phrases(
        """
        mention | name | contain | give | state | hold | tell | include | say | show
        """
    ),
    "present": phrases(
        """
        Only the slots that occur. | Use only what is given. | Leave out missing slots. | Skip
        what is not said. | Copy the exact words. | Only slots that are in the message. | If
        nothing is given, answer {}. | Copy each value exactly as written. | Omit the others. |
        Leave out what is missing. | Only keys that are mentioned. | Spans are copied from the
        text. | Only what is there. | Do not guess. | Missing ones are left out. | Where present.
        | Use the words of the message. | Without those that are missing. | Take only what was
        said.
        """
    ),
    "details": phrases(
        """
        <open> <get> the details <source>. | <open> <get> the data <source>. | <open> <get> the
        values. | <open> <get> the fields <source>. | <open> <get> what was said. | <need> the
        details. | <open> summarise the data. | what are the facts? | <open> <get> all facts.
        """
    ),
    "details_json": phrases(
        """
        <open> <get> the details <source> <as> <object>. | <open> <get> the data <as> <object>. |
        <open> <convert> the <noun> into <object>. | <open> <get> the fields <as> <object>. |
        <noun> to JSON. | <use_json> | the details, please. <use_json>
        """
    ),
    "answer_it": phrases(
        """
        <open> answer the question <source>. | <open> answer the question. | <open> answer the
        question. | <open> reply to the question. | <open> respond to the question. | what is the
        answer? | <open> find the answer <source>. | <open> read the <noun> and answer the
        question. | <open> look up the answer. | <open> use the <noun> to answer. | the <noun>
        ends with a question. | there is a question at the end. Answer it. | you get a <noun> with
        a question. | a question follows the <noun>. | <open> give the answer to the question. |
        <open> get the answer. | <open> solve the question. | <open> <read> the <noun> and its
        question. | question answering. | at the end you are asked something. | <open> <get> what
        the question asks for. | the question is at the end. | <open> reply to what is asked. |
        <open> tell me what was asked. | the question's answer is what I need. | the <noun> closes
        with a question, <get> the answer to it. | what the question wants stands in the <noun>. |
        the question in the last line wants an answer. | somebody wants to know something, see the
        question. | a question ends the <noun>: <get> its answer.
        """
    ),
    "find_it": phrases(
        """
        what is the <q>? | <open> extract the <q>. | <open> <get> the <q> <source>. | <q>? |
        <open> give the <q>. | <open> tell me the <q>. | <open> copy the <q> from the <noun>. |
        which <q> is given? | I only need the <q>. | <need> the <q>. | <open> <get> the <q>. |
        <open> <read> the <noun> and give me the <q>. | can you see the <q>? | what <q> is
        mentioned? | you get a <noun>. <get> the <q>. | look for the <q>.
        """
    ),
    "value": phrases(
        """
        Answer with the value only. | Return only the value. | Only the exact value. | Value only.
        | Copy the exact value, nothing else. | Just the value. | The value alone is enough. |
        Short answer: the value only. | Reply with nothing but the value. | Only the value,
        please. | No sentence, the value only. | Give only what was asked. | Only what is asked
        for. | Respond with the exact value. | Nothing but the value. | No other words. | The bare
        value. | Write only the answer. | Only the answer, no sentence. | Your answer is the value
        alone. | Give the value and no other words. | The shortest answer, please. | I need the
        value only. | Copy it without other words. | Just what was asked. | Output the value, no
        more. | Answer with nothing else than the value. | Give me only the value. | Return the
        value itself. | Quote it exactly. | Verbatim. | Quote the value, nothing more. | Word for
        word, no sentence. | Show me the exact value and nothing around it. | All that you write
        is the value. | The value as it is written, verbatim. | The exact words are enough. | I
        do not want to read more than the value. | Quote only the answer, verbatim.
        """
    ),
    "sentence": phrases(
        """
        Answer with a sentence. | Use a full sentence. | Write a sentence. | In a full sentence,
        please. | Reply with one sentence. | The answer is a sentence. | Give a full sentence.
        """
    ),
    "label_value": phrases(
        """
        Answer as label: value. | Write label: value. | Use the form label: value. | Label and
        value.
        """
    ),
    "headline": phrases(
        """
        <open> write <a_headline> for the <noun>. | <open> give <a_headline>. | headline, please.
        | <open> summarise the <noun> as <a_headline>. | <open> turn the <noun> into <a_headline>.
        | <a_headline> in the present tense. | <open> write <a_headline>. | <a_headline> for this
        <noun>. | <open> give me <a_headline>. | what would be the headline? | what headline fits?
        | <open> shorten the <noun> to <a_headline>. | <open> find <a_headline> for it. |
        headline: | <open> make <a_headline> of it. | <open> <read> the <noun> and write
        <a_headline>. | you get a <noun>. write <a_headline>. | <need> <a_headline>. | <open>
        suggest <a_headline>. | which headline would you print? | <open> create <a_headline> that
        says what happened. | <open> put the <noun> into <a_headline>. | the <noun> needs
        <a_headline>. | <open> think of <a_headline>. | <open> invent <a_headline> for the <noun>.
        """
    ),
    "a_headline": phrases(
        """
        a headline | a headline | a short headline | one short headline | a news headline | the
        headline | a brief headline | one headline | a crisp headline | a headline in the present
        tense | a good headline | a very short headline | a one line headline | a title like a
        headline
        """
    ),
    "short": phrases(
        """
        <open> summarise. | <open> summarise the <noun>. | make it short. | what happened? |
        summary. | <open> sum it up. | <open> tell me what happened. | the news in short. |
        shorter, please.
        """
    ),
    "key_sentence": phrases(
        """
        <open> copy the key sentence. | <open> extract the most important sentence. | <open>
        return the main sentence of the <noun>. | which sentence is the main one? Copy it. |
        <open> pick the key sentence. | the most important sentence, please.
        """
    ),
    "first_sentence": phrases(
        """
        <open> copy the first sentence. | <open> return the first sentence. | the first sentence,
        please. | <open> give the first sentence of the <noun>.
        """
    ),
    "classify": phrases(
        """
        <open> classify the <what>. | what is the <what>? | <open> decide the <what>. | the
        <what>, please. | <open> label the <what>. | <open> tell me the <what>. | which <what>
        does the <noun> have? | <open> classify the <what> of the <noun>. | <open> find the
        <what>. | <open> detect the <what>. | <open> name the <what> of the <noun>. | <open> judge
        the <what>. | <what>? | <open> <read> the <noun> and decide its <what>. | you get a
        <noun>. What is its <what>? | <open> say what <what> it is. | <open> guess the <what>. |
        <need> the <what>.
        """
    ),
    "classify_among": phrases(
        """
        <open> classify the <what>: <labels>. | <open> classify the <what> as <labels>. | what is
        the <what>: <labels>? | is the <noun> <labels>? | is it <labels>? | <labels>? | <open>
        label the <what> as <labels>. | <open> decide between <labels>. | <what>: <labels>? |
        <labels>: which is it? | <labels>. Which one fits? | the options are <labels>. What is the
        <what>? |
        <open> rate the <noun> as <labels>. | you may choose among <labels>. | <open> tell whether
        it is <labels>. | which of these is the <what>: <labels>? | <open> say <labels>. |
        which <what> does the <noun> have: <labels>? | <open> choose the <what>: <labels>. |
        <open> pick one of <labels>. | <open> assign one label: <labels>. | which of <labels>
        fits? | the labels are <labels>. <open> choose one. | <open> tell me if the <noun> is
        <labels>. | <open> classify the <noun> as <labels>. | does the <noun> sound <labels>? |
        which label fits the <noun>: <labels>? | is this <labels>? | <open> sort the <noun> into
        <labels>. | <open> put the <noun> into one class: <labels>. | what does the writer want:
        <labels>? | what does the writer mean: <labels>? | <open> read the <noun> and choose
        <labels>. | labels: <labels>. | choose from <labels>. | the <what> is one of <labels>.
        Which? | what is it about: <labels>? | <open> mark the <noun> with one of <labels>.
        """
    ),
    "one_word": phrases(
        """
        Answer with one word. | One word only. | One lower-case word. | Reply with the label only.
        | Only the label. | Just one word. | One word. | A single word. | Answer in one word. |
        Reply with one word. | Respond with one word. | Give only the label. | Your answer is one
        word. | The label alone. | Return the label only. | Write one word. | Nothing but the
        label. | Output only the label. | In one word, please. | Give one word. | The label and
        nothing else. | Choose one word. | Reply with one of these words. | Only one of these. |
        Say one of them. | You reply with one word. | Just one label.
        """
    ),
    "capitalised": phrases(
        "Capital letter. | Start with a capital letter. | Use a capital letter."
    ),
}
