"""Lists of single words: sounds, names, fillers, and the small change of everyday texts."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ONSETS = _words(
    """
    b c d f g h j k l m n p r s t v w z br dr gr kr st tr pl
    """
)
VOWELS = _words(
    """
    a e i o u ai ea
    """
)
CODAS = ("", *_words("n r s l k m x"))
RARE_ONSETS = _words(
    """
    ch sh th ck ll ss w v y j qu mc gh rt nd
    """
)
RARE_VOWELS = _words(
    """
    a e i o u ee ou y ar er an
    """
)
FIRST_ENDINGS = _words(
    """
    a ie y ette ina ia anna elle ey ora en on ard
    """
)
LAST_ENDINGS = _words(
    """
    son ston berg er man ski ez ley field ton well ard en ello etti ano ick ers land more house
    smith by ing
    """
)
FIRST_NAMES = _words(
    """
    Anna Ben Carla David Elena Felix Grace Hugo Ines Jonas Karin Liam Maria Nora Oscar Paula
    Quinn Rosa Sven Tara Ugo Vera Will Yara Zoe James Mary Robert Patricia John Jennifer Michael
    Linda William Susan Thomas Jessica Daniel Sarah Matthew Karen Anthony Lisa Mark Nancy Donald
    Betty Steven Helen Paul Sandra Andrew Donna Joshua Carol Kenneth Ruth Kevin Sharon Brian
    Michelle George Laura Edward Emily Ronald Kim Tim Amy Jason Angela Jeff Priya Ryan Brenda
    Jacob Pam Gary Olga Eric Chen Ahmed Fatima Wei Yuki Omar Lucia Pedro
    """
)
LAST_NAMES = _words(
    """
    Smith Jones Brown Lopez Garcia Miller Davis Wilson Moore Taylor Lee White Harris Clark Young
    King Wright Hill Green Adams Baker Nelson Carter Perez Turner Parker Evans Collins Stewart
    Morris Rogers Reed Cook Morgan Bell Murphy Bailey Cooper Cox Howard Ward Brooks Kelly Price
    Bennett Wood Ross Foster Silva Costa Meyer Weber Rossi Nguyen Khan Patel Singh
    """
)
#: English words that the vocabulary leaves out: they are spelled in bytes, like any unknown word.
FILLERS = _words(
    """
    able accept across act actual add afraid again ago ahead air almost alone along already
    although always among ancient angry animal annual another anxious apart apple area argue arm
    around art aside autumn away awful baby back bag ball band bar base basic bath bear beat
    become bed begin behind belief below bench beside beyond bicycle bird blanket blood blow
    blue board boat body bone border borrow bottle bottom bowl brain branch bread break breath
    brick bridge bright bring broad brother brush bucket budget bush busy butter button cake
    calm camera camp candle capable carry cat cause ceiling chain chair chance cheese cherry
    chest chief choose circle clear clerk clever cloth cloud coast coat collect comfort common
    compare complete concern condition confirm connect consider contain control corner cotton
    cough count couple course cover crack create credit crowd cry curtain curve custom damage
    dance dark daughter dawn deal debate decide deep degree depend desk detail develop differ
    digital direct discuss distance divide doubt drawer dream dress drink drive dry dust early
    earth east easy edge effect effort either elbow empty engine enjoy enough enter equal error
    even event ever every exact example except exist expert explain eye face fact fall false
    family famous far farm feather feel fence fever field fight figure fill filter finger finish
    fire firm fish fix flag flame flat flight floor flower fold follow fond foot force forest
    forget fork form forward frame freeze frequent front fruit future garden gather gentle glass
    glove goat gold grass grey grip ground group grow guess guide half hammer hand hang happen
    harbour hard harm hat heart heat heavy height help hidden hide high hold hole hollow hope
    horn horse hour humour hurry ice idea ill impulse increase industry ink insect instead
    invent iron island jelly jewel join journey judge jump keen kettle kick kind kiss knee knife
    knot lamp land language large laugh lead leaf learn leather left leg level lift light limit
    line linen lip liquid list little lock long loose loud machine manager map march mark market
    mass match material meal measure meat medical meet memory metal middle military milk mind
    mine minute mist mixed month moon morning mother motion mountain mouth muscle music nail
    narrow nation natural near neck need needle nerve night noise normal north nose nut observe
    offer office oil open opinion orange oven owner page pain paint paper parallel parcel part
    paste pause peace pen pencil pepper person picture pig pin pipe place plane plant plate play
    plough pocket point poison polish porter pot potato powder power present press prison
    private probable process profit proper prose protest public pull pump punish purpose push
    quality question quick quiet quite rail rain range rat rate ray reaction ready reason
    receipt record red regret regular relation repeat request respect responsible rest reward
    rhythm rice right ring river road rod roll roof root rough round rub rule run sad safe sail
    salt same sand say scale school science scissors sea seat second secret secretary seed seem
    selection self sense separate serious servant shade shake shame sharp sheep shelf ship shirt
    shock shoe short shut side sign silk silver simple sister size skin skirt sky sleep slip
    slope small smash smell smile smoke smooth snake sneeze snow soap society sock soft some son
    song sort sound soup south space spade special sponge spoon spring square stage stamp star
    start statement station steam steel stem step stick sticky stiff still stitch stocking
    stomach stone stop store story straight strange street stretch strong structure substance
    sudden sugar suggestion summer sun support surprise sweet swim system table tail talk tall
    taste tax teaching tendency test theory thick thin thing thought thread throat through thumb
    thunder ticket tight tin tired toe tongue tooth top touch town trade train transport tray
    tree trick trouble trousers true turn twist umbrella under unit value verse vessel view
    violent voice waiting walk wall war warm wash waste watch water wave wax way weather week
    weight west wet wheel while whip whistle wide wind window wine wing winter wire wise wood
    wool word work worm wound writing wrong year yellow yesterday young
    """
)
SMALL_WORDS = _words(
    """
    the a we they it is was our their your some of to and with for in near under that this have
    had can will
    """
)
MONTHS = _words(
    """
    January February March April May June July August September October November December
    """
)
WEEKDAYS = _words(
    """
    Monday Tuesday Wednesday Thursday Friday Saturday Sunday
    """
)
NUMBERS = _words(
    """
    one two three four five six seven eight nine ten eleven twelve
    """
)
