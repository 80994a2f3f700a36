"""Wordings, templates and styles that the grammar never writes, to measure what carries over.

All of this was written by hand. Nothing here may be imported by the grammar, and a test holds that
the grammar does not happen to write it.
"""

from __future__ import annotations

from random import Random

from .grammar import booking_values, values
from .grammar.chance import phrases, sentence_case, shuffled
from .grammar.notes import CONTACT
from .grammar.opinions import VERDICTS
from .grammar.tasks import as_json

Case = tuple[str, str]

#: Free paraphrases of the clear instructions.
WORDINGS = {
    "json": phrases(
        """
        Could you pull the customer's name, their email and the amount out of this and hand it
        back as a JSON object? | Please extract the customer name, the e-mail address and the
        price into JSON | Respond with a JSON dictionary holding name, email, amount and nothing
        more. | I want name, email and amount. Use JSON. | We file every note by name, email and
        amount - make that a JSON object, will you? | Your output has three JSON keys, name, email
        and amount, filled from the note.
        """
    ),
    "extract": phrases(
        """
        Look at the question at the end and give me only what it asks for. | You get a text with a
        question. Respond with the requested value, no other words. | Reply to the question. Value
        only please. | Somebody asks something at the end; quote the bit of text that answers it
        and stop. | The last sentence is a question: its answer, verbatim, is all I want to see.
        """
    ),
    "headline": phrases(
        """
        Come up with a brief headline summarising this article. | Newspaper headline, present
        tense, very short. | How would an editor title this piece? Just the headline. | Condense
        the news into a headline.
        """
    ),
    "sentiment": phrases(
        """
        Is the review positive, negative or neutral? One word. | What does the writer feel -
        positive, negative or neutral? Reply with a single word. | Positive, negative, neutral:
        which one describes this opinion? Say only that word. | Rate the tone. Your options are
        positive, negative and neutral, and you reply with just one of them.
        """
    ),
    "intent": phrases(
        """
        Which of these does the customer want: refund, delivery, login, cancel, praise? One word.
        | Assign one of the labels refund, delivery, login, cancel or praise to the message. Reply
        with the label. | Route this mail. Queues: refund, delivery, login, cancel, praise. Name
        one queue, nothing else. | Why did they write to us? Say refund, delivery, login, cancel
        or praise.
        """
    ),
    "booking": phrases(
        """
        Which of people, time, date, first_name, last_name does the guest mention? Reply with a
        JSON object, spans copied from the text. | Read the guest's message and output JSON with
        people, time, date, first_name, last_name where present. | JSON please: whatever the guest
        tells us of people, time, date, first_name and last_name, word for word. | Note down as
        JSON any of these that come up: people, time, date, first_name, last_name.
        """
    ),
    "record": phrases(
        """
        Parse the log line into a JSON object having level, service and ms. | I need level,
        service, ms out of this line as JSON. | Make this log readable for machines: JSON, keys
        level, service and ms. | A JSON object built from the line's level, service and ms,
        thanks.
        """
    ),
}
NOTE = {
    "name": phrases(
        """
        we talked with {} | the letter came from {} | {} filled in the form | filed for {}
        """
    ),
    "email": phrases(
        """
        answers belong to {} | invite {} | mailings to {} | she reads {} | log on as {}
        """
    ),
    "amount": phrases(
        """
        settled {} | {} was taken | the damage is {} | a price tag of {} | all for {}
        """
    ),
    "date": phrases("around {} | set for {} | from the {} | noted {} | happening {}"),
    "order": phrases("parcel code {} | job {} | listed as {} | quoting {} | under {}"),
    "phone": phrases("ask at {} | speak to us on {} | whatsapp {} | fax {} | give {} a ring"),
    "city": phrases(
        """
        over in {} | shipped towards {} | our man in {} | born in {} | a house in {}
        """
    ),
    "product": phrases("a pack of {} | swap the {} | keep the {} | without the {} | likes the {}"),
}
NOTE_KEYS = {
    "name": phrases("Payer | Who | Applicant | customer_name"),
    "email": phrases("Electronic mail | Contact mail | e_mail | Write to"),
    "amount": phrases("Due total | Money | Value in cash | amount_paid"),
    "date": phrases("Timestamp | Day of sale | date_of_order"),
    "order": phrases("Purchase no | order_ref | Job no"),
    "phone": phrases("Call centre | phone_no | Reach at"),
    "city": phrases("Municipality | Destination | city_name"),
    "product": phrases("Merchandise | Ware | product_name"),
}
_ASKED = phrases(
    """
    Now what is the {}? | Question at hand: the {}? | Could you find the {}? | The {} is what? |
    Who knows the {}?
    """
)
_EVENTS = phrases(
    """
    According to the radio, {event} in {town}. | Back in {town}, {event}. | Late on Tuesday
    {event} in {town}. | {event} near the centre of {town}. | Once again {event} in {town}.
    """
)
_VERBS = phrases(
    """
    borrowed borrows | welcomed welcomes | guarded guards | filmed films | lifted lifts | washed
    washes
    """
)
_NEWS_ASIDES = phrases(
    """
    Children cheered. | The reasons stay open. | A crowd had gathered. | It made people talk.
    """
)
_OPINIONS = phrases(
    """
    To be honest, our <thing> turned out <word>. | <word> is what I would say about the <thing>. |
    If you ask me, that <thing> was <word>. | Friends had told us the <thing> is <word>, and it
    is. | The <thing> deserves one word: <word>.
    """
)
_THINGS = phrases(
    """
    food | room | staff | hotel | coffee | app | delivery | breakfast | website | pool
    """
)
_INTENTS = {
    "refund": phrases(
        """
        I expect my money back | the amount was charged twice, fix it | pay it back to me
        """
    ),
    "delivery": phrases(
        "my parcel should be here by now | no package yet | the courier never came"
    ),
    "login": phrases(
        """
        my password is wrong again | the account will not open | sign in is not possible
        """
    ),
    "cancel": phrases("please end the plan | I quit the service | take away my subscription"),
    "praise": phrases(
        """
        you are a great team, thanks | the support was the best | well done, I love it
        """
    ),
}
BOOKINGS = {
    "people": phrases("hold a table, {} | we come with {} | plates for {} | {} want to eat"),
    "time": phrases("be ready at {} | expect us at {} | kitchen at {} | let it be {}"),
    "date": phrases("pencil us in {} | free {}? | the evening of {} | I mean {}"),
    "name": phrases("{} reserved | sign me in as {} | the booking says {} | look for {}"),
}
_MONTHS = ("May", "June", "July")
RECORD = {
    "level": phrases("/{}/ | sev {} | {} -"),
    "service": phrases("app={} | in module {} | process {}"),
    "ms": phrases("total {} ms | finished within {} ms | wait={} ms"),
    "code": phrases("reply {} | status={} | ended with {}"),
    "user": phrases("session of {} | usr={} | behalf of {}"),
    "host": phrases("machine {} | box={} | over {}"),
}


def unseen_note(rng: Random) -> Case:
    """A note of unseen clauses or keys, and its contact fields as JSON."""
    others = [field for field in values.FIELDS if field not in CONTACT]
    facts = values.field_values(rng, [*CONTACT, *rng.sample(others, rng.choice([0, 1, 1]))])
    return _note(rng, facts), as_json({field: facts[field] for field in CONTACT})


def _note(rng: Random, facts: dict[str, str]) -> str:
    order = shuffled(rng, list(facts))
    if rng.random() < 0.3:
        sign = rng.choice([": ", "="])
        return rng.choice([" | ", "; "]).join(
            rng.choice(NOTE_KEYS[field]) + sign + facts[field] for field in order
        )
    parts = [rng.choice(NOTE[field]).format(facts[field]) for field in order]
    return sentence_case(rng.choice([", ", "; "]).join(parts)) + "."


def unseen_question(rng: Random) -> Case:
    """An unseen note, an unseen question, and the value it asks for."""
    fields = rng.sample(values.FIELDS, 3)
    facts = values.field_values(rng, fields)
    names = {"email": "e-mail", "order": "order number", "phone": "phone number"}
    question = rng.choice(_ASKED).format(names.get(fields[0], fields[0]))
    return f"{_note(rng, facts).rstrip('.')}. {question}", facts[fields[0]]


def unseen_report(rng: Random) -> Case:
    """A report with unseen verbs and frames, and its headline."""
    company, count = values.company(rng), rng.randint(2, 9999)
    past, present = rng.choice(_VERBS).split()
    things = rng.choice(["boats", "robots", "lamps", "phones", "hotels"])
    event = rng.choice(_EVENTS).format(
        event=f"{company} {past} {count} {things}", town=values.city(rng)
    )
    sentences = shuffled(rng, [event, rng.choice(_NEWS_ASIDES)])
    return " ".join(sentences), f"{company} {present} {count} {things}"


def unseen_review(rng: Random) -> Case:
    """An opinion in an unseen frame; its telling word is a known one."""
    label = rng.choice(list(VERDICTS))
    text = rng.choice(_OPINIONS).replace("<thing>", rng.choice(_THINGS))
    return sentence_case(text.replace("<word>", rng.choice(VERDICTS[label]))), label


def unseen_message(rng: Random) -> Case:
    """A wish in an unseen wording."""
    label = rng.choice(list(_INTENTS))
    wish = rng.choice(_INTENTS[label])
    name = values.first_name(rng)
    return rng.choice(
        [f"Dear team, {wish}. {name}", f"{sentence_case(wish)}. This is {name}."]
    ), label


def unseen_booking(rng: Random) -> Case:
    """A booking of unseen clauses."""
    first, last = values.first_name(rng), values.last_name(rng)
    hour, month = f"{rng.randint(1, 12)}{rng.choice([':15', ':30', ''])}", rng.choice(_MONTHS)
    made = {
        "people": f"{booking_values.number(rng)} {rng.choice(['people', 'guests', 'adults'])}",
        "time": f"{hour} pm",
        "date": f"{month} {booking_values.ordinal(rng.randint(1, 30))}",
        "name": f"{first} {last}",
    }
    topics = rng.sample(list(made), rng.choice([1, 2, 2, 3]))
    parts = [rng.choice(BOOKINGS[topic]).format(made[topic]) for topic in topics]
    facts = {topic: made[topic] for topic in made if topic in topics and topic != "name"}
    if "name" in topics:
        facts |= {"first_name": first, "last_name": last}
    return sentence_case(", ".join(parts)) + ".", as_json(facts)


def unseen_record(rng: Random) -> Case:
    """A log line of unseen clauses."""
    service = f"{values.filler(rng)}{rng.choice(['-api', '-db', ''])}"
    facts = {"level": rng.choice(["INFO", "WARN", "ERROR"]), "service": service}
    facts["ms"] = str(rng.randint(1, 9999))
    more = {"code": str(rng.choice([200, 404, 500])), "user": f"u{rng.randint(1, 999)}"}
    more["host"] = f"10.0.{rng.randint(0, 254)}.{rng.randint(1, 254)}"
    extra = rng.choice(list(more))
    order = [*["level", "service"], *shuffled(rng, ["ms", extra])]
    known = {**facts, extra: more[extra]}
    line = rng.choice([" ", ", "]).join(rng.choice(RECORD[key]).format(known[key]) for key in order)
    return line, as_json(facts)


UNSEEN = {
    "json": unseen_note,
    "extract": unseen_question,
    "headline": unseen_report,
    "sentiment": unseen_review,
    "intent": unseen_message,
    "booking": unseen_booking,
    "record": unseen_record,
}
