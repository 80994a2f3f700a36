"""The word lists of the task grammar: names, sounds of invented names, things and their praise.

Names of people come in two groups, which the fairness gate compares: frequent in English-speaking
countries, and frequent elsewhere. Companies, towns and products are invented from syllables, so
that no text speaks of a real one.
"""

from __future__ import annotations


def words(text: str) -> tuple[str, ...]:
    """The words of a text, so that a list reads as one."""
    return tuple(text.split())


COMMON = "common_name"
RARE = "rare_name"
GROUPS = (COMMON, RARE)

FIRST_NAMES = {
    COMMON: words(
        "Amy Andrew Angela Anna Anthony Ben Betty Brenda Brian Carla Carol Daniel David Donald "
        "Donna Edward Elena Emily Eric Felix Gary George Grace Helen Jacob James Jason Jeff "
        "Jennifer Jessica John Joshua Karen Kenneth Kevin Kim Laura Liam Linda Lisa Maria Mark "
        "Mary Matthew Michael Michelle Nancy Nora Oscar Patricia Paul Paula Robert Ronald Rosa "
        "Ruth Ryan Sandra Sarah Sharon Steven Susan Thomas Tim Vera William"
    ),
    RARE: words(
        "Abebe Adaeze Aigerim Ainhoa Akira Amina Anahit Aroha Ayodele Bayarmaa Bogdan Chidi "
        "Chinedu Dilnoza Ebru Eleri Emeka Farida Gulnara Haruka Imani Isamu Jelena Kamala Kavitha "
        "Kerttu Keola Kwame Leilani Lindiwe Maitane Makena Malia Marit Mehmet Miro Nandini "
        "Nilufar Nokuthula Oksana Olumide Orsolya Paavo Parvin Rangi Ravindra Sanjar Sefa Shirin "
        "Sipho Sunniva Takoda Tamar Temitope Thandi Tuomas Ulugbek Vaishali Wambui Yared Yerlan "
        "Zeynep Zoltan"
    ),
}
LAST_NAMES = {
    COMMON: words(
        "Adams Bailey Baker Bell Bennett Brooks Brown Carter Clark Collins Cook Cooper Cox Davis "
        "Evans Foster Garcia Green Harris Hill Howard Jones Kelly King Lee Lopez Miller Moore "
        "Morgan Morris Murphy Nelson Parker Perez Price Reed Rogers Ross Smith Stewart Taylor "
        "Turner Ward White Wilson Wood Wright Young"
    ),
    RARE: words(
        "Abdullaev Abiodun Achterberg Adebayo Akhtar Arrieta Asante Balogun Banerjee Beridze "
        "Bhatia Chukwu Demirel Dlamini Ekwueme Erdenet Etxeberria Farkas Gebre Ginting Haile "
        "Hakimov Harutyunyan Hoang Ibragimov Ikeda Iyer Jokinen Kahale Kalnins Kamau Karimov "
        "Kekoa Kovalenko Laukkanen Llewelyn Mahlangu Mbeki Moana Mutua Nakamura Nurmi Nwosu "
        "Ochieng Okafor Olsson Omarov Ozturk Papadakis Petrosyan Prifti Rasool Sandvik Sithole "
        "Szabo Tanaka Tesfaye Urazov Venter Wanjiru Yilmaz Zulu"
    ),
}

ONSETS = words("b c d f g h j k l m n p r s t v w z br dr gr kr st tr pl")
VOWELS = words("a e i o u ai ea")
CODAS = ("", *words("n r s l k m x"))

MONTHS = words(
    "January February March April May June July August September October November December"
)
DOMAIN_ENDINGS = [".com", ".org", ".net", ".io", ".example", ".co.uk", ".de"]
ORDER_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"

SMALL_TALK = words(
    "the a we they it is was our their your some of to and with for in near under that this have "
    "garden river window button silver morning paper yellow kitchen bicycle market winter simple "
    "engine basket quiet station copper ticket meadow harbour lantern pencil music orange ladder"
)

NEWS_VERBS = [
    ("opened", "opens"),
    ("closed", "closes"),
    ("bought", "buys"),
    ("sold", "sells"),
    ("recalled", "recalls"),
    ("launched", "launches"),
    ("moved", "moves"),
    ("cut", "cuts"),
    ("hired", "hires"),
    ("built", "builds"),
    ("won", "wins"),
    ("lost", "loses"),
    ("planned", "plans"),
    ("found", "finds"),
    ("tested", "tests"),
    ("rented", "rents"),
    ("fixed", "fixes"),
    ("showed", "shows"),
    ("shipped", "ships"),
    ("replaced", "replaces"),
]
NEWS_OBJECTS = words(
    "shops jobs cars phones plants boats trains homes games books banks farms hotels schools "
    "trucks offices robots drones lamps tools"
)
NEWS_TIMES = ["Yesterday", "On Monday", "Last week", "Today", "This morning", "In May"]
NEWS_ASIDES = [
    "The weather was calm.",
    "Many people were there.",
    "No one was hurt.",
    "Experts were not sure.",
    "Prices stayed flat.",
    "The mayor gave a talk.",
    "More news will follow.",
    "It rained all day.",
    "Some were surprised.",
    "The market was quiet.",
]

REVIEWED = words(
    "food service room hotel coffee waiter menu breakfast pool parking view music seat website app "
    "support delivery driver screen camera"
)
VERDICTS = {
    "positive": words(
        "great good lovely perfect excellent superb amazing wonderful brilliant delightful "
        "impressive outstanding pleasant reliable"
    ),
    "negative": words(
        "bad awful poor useless terrible horrible disappointing annoying faulty slow messy "
        "unfriendly overpriced"
    ),
    "neutral": words(
        "fine okay average normal usual plain standard typical ordinary acceptable moderate regular"
    ),
}
