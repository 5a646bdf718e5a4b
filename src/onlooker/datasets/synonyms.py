"""Words that people use for the same thing: British and American, careful and everyday; nothing that changes meaning.

A line "a | b | c" holds words that stand for one another. A line "a > b, c" goes one way: a waistcoat is a vest to an
American, but not every vest is a waistcoat.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from onlooker.datasets.words import COLOUR_WORDS, words_of

# Things that are counted: their plurals are made by rule.
_NOUNS = """
jumper | sweater | pullover
turtleneck | roll-neck | polo neck
hoodie | hooded sweatshirt | hooded top
t-shirt | tee | tee shirt | t shirt | tshirt
cardigan > cardi
waistcoat > vest
gilet | body warmer | bodywarmer
puffer vest > gilet, padded vest
puffer jacket > padded jacket, puffy jacket, down jacket
vest top > tank top, sleeveless top
tank top > sleeveless top
polo shirt > polo
camisole | cami
overcoat > coat
long coat > overcoat, long overcoat
trench coat | trenchcoat | trench
raincoat | rain jacket
windbreaker | windcheater
denim jacket | jean jacket
biker jacket | motorcycle jacket | moto jacket
blazer > suit jacket, sports jacket
playsuit | romper
jumpsuit > one-piece outfit
trouser suit | pantsuit | pant suit
shirt dress | shirtdress | shirt-dress
mini skirt | miniskirt | short skirt
mini dress | minidress | short dress
maxi skirt | long skirt | full-length skirt
maxi dress | long dress | full-length dress
midi skirt > mid-length skirt, calf-length skirt
midi dress > mid-length dress, calf-length dress
handbag > purse, bag
purse > handbag, bag
shoulder bag > purse, handbag
crossbody bag | cross-body bag | crossbody purse
clutch | clutch bag | clutch purse
tote | tote bag
shopping bag > carrier bag, store bag
backpack | rucksack | knapsack
holdall | duffel bag
beanie | knit hat | woolly hat | knit cap
baseball cap > ball cap
bowler hat | bowler | derby hat
bow tie | bowtie
tie | necktie
headscarf | head scarf
hairband | headband
topknot | top knot | high bun
ponytail | pony tail
umbrella > brolly
mobile phone | cell phone | cellphone
suitcase > travel case
young woman > young lady, girl
woman | lady
young man > young guy, lad
man > guy, gentleman
guy > man
"""

# Everything else, plurals without a singular among them.
_WORDS = """
trousers | pants | slacks
cropped trousers > cropped pants, ankle-length pants
skinny jeans > tight jeans, slim jeans
skinny trousers > tight trousers, slim pants
cargo trousers | cargo pants
chinos > chino pants, cotton trousers
joggers | sweatpants | jogging bottoms | tracksuit bottoms
jeans > denims
dungarees | overalls
leggings > stretch pants
tights > pantyhose, stockings
trainers | sneakers | tennis shoes
running shoes > sports shoes, trainers
pumps | court shoes
high heels > heels
stilettos > stiletto heels, thin high heels
ankle boots | booties | short boots
combat boots | army boots
rubber boots | wellies | wellington boots | rain boots
loafers > slip-on shoes, slip-ons
brogues > wingtips, wing tips
ballet flats | ballet pumps
flats > flat shoes
flip-flops | flip flops
lace-up shoes > lace-ups
braces | suspenders
bangs > fringe
fringe > bangs
glasses | spectacles | eyeglasses
sunglasses > shades, dark glasses
navy | navy blue | dark blue
burgundy | maroon | dark red
wine red > dark red, burgundy
cream | off-white | ivory
beige > sand, light tan
tan > light brown, camel
camel > tan, light brown
charcoal | charcoal grey | dark grey
dark gray > charcoal
light grey | pale grey
light gray | pale gray
light blue | pale blue | baby blue
sky blue | sky-blue
cobalt > royal blue, bright blue
cobalt blue > royal blue, bright blue
royal blue > bright blue
hot pink | bright pink | shocking pink
light pink | pale pink | baby pink
mustard | mustard yellow | dark yellow
mint > mint green, pale green
mint green | pale green
lime > lime green, bright green
olive | olive green | army green
dark green > bottle green, forest green
emerald green > bright green
turquoise | aqua
lilac | lavender | light purple
violet > purple
rust > burnt orange, rusty orange
taupe > grey-brown
bright red > scarlet
dark brown > chocolate brown
gold > golden
silver > silvery
multicoloured > multi-coloured, colourful
multicolored > multi-colored, colorful
striped > stripy, stripey
floral > flowery, flowered
checked | checkered | chequered
plaid > checked, tartan
tartan > plaid
polka dot > spotted, dotted
polka-dot > spotted, dotted
leopard print | leopard-print | leopard
houndstooth | dogtooth
patterned | printed
peep-toe > open-toe, open-toed
shearling | sheepskin
knit | knitted
big | large
small | little
short-sleeved | short-sleeve
long-sleeved | long-sleeve
high-waisted | high-waist
wide-leg | wide-legged
oversized | oversize
blonde hair > fair hair, blond hair
auburn > reddish-brown
smiling > grinning
holding > carrying
carrying > holding, with
wearing > in, dressed in
wears > is wearing, has on
older woman > elderly woman, old lady
"""

SPELLINGS = (
    ("grey", "gray"),
    ("colour", "color"),
    ("moustache", "mustache"),
    ("jewellery", "jewelry"),
    ("jewelled", "jeweled"),
)
"""British and American spelling, wherever they stand in a word."""

# Compounds in which a word above means something else.
_KEPT = """
dress shirt, dress shoes, sweater vest, sweater coat, cardigan coat, tie dye, hot pants, opera glasses, wine glasses,
large check, small check
"""

_KNITTED = words_of("sweater jumper pullover top dress scarf hat beanie jacket cardigan vest shirt gloves coat cap")
_SHADES = words_of("light dark pale deep bright dusty hot navy cobalt royal")
_COLOURS = frozenset(word for names in COLOUR_WORDS.values() for name in names for word in name.split())


@dataclass(frozen=True)
class Surroundings:
    """Words that must not, or must, stand beside a word for it to be exchanged."""

    not_after: frozenset[str] = frozenset()
    not_before: frozenset[str] = frozenset()
    only_before: frozenset[str] = frozenset()


def _near(not_after: str = "", not_before: str = "", only_before: tuple[str, ...] = ()) -> Surroundings:
    return Surroundings(frozenset(not_after.split()), frozenset(not_before.split()), frozenset(only_before))


SURROUNDINGS: dict[str, Surroundings] = {
    "tie": _near("bow to neck waist self front side can", "waist belt at front neck up detail straps dye back in on"),
    "clutch": _near("to", "bag purse a an the her his"),
    "tote": _near("", "bag"),
    "knit": _near("", "", _KNITTED),
    "knitted": _near("", "", _KNITTED),
    "holding": _near("", "on onto up out hands her his hat the to"),
    "carrying": _near("", "on"),
    "tan": _near("legs deep light dark", "legs skin lines line"),
    "camel": _near("light dark"),
    "dark blue": _near("", "denim jeans wash and grey gray"),
    "rust": _near("", "brown orange red coloured colored"),
    "olive": _near("", "green brown skin"),
    "mint": _near("", "green blue"),
    "lime": _near("", "green yellow"),
    "cobalt": _near("", "blue navy"),
    "mustard": _near("", "yellow brown"),
    "charcoal": _near("light dark", "grey gray"),
    "cream": _near("", "coloured colored"),
    "leopard": _near("", "print printed pattern patterned spots"),
    "navy": _near("", "blue"),
    "gold": _near("rose", "chain necklace jewellery jewelry"),
    "silver": _near("", "haired chain necklace hair"),
    "vest": _near("", "top"),
    "trench": _near("", "coat jacket coats jackets style"),
    "glasses": _near("dark sun wine mirrored tinted"),
    "large": _near("very extra", "check checks"),
    "small": _near("very", "check checks of"),
    "big": _near("very", ""),
    "braces": _near("dental with", ""),
    "suspenders": _near("stockings and", "belt"),
    "jeans": _near("denim"),
    "printed": _near("", "with like"),
    "patterned": _near("", "with like"),
    "wearing": _near("without not is are", ""),
    "wears": _near("", "no"),
    "man": _near("", "bun made"),
    "pumps": _near("ballet flat", ""),
    "flats": _near("ballet", ""),
}
"""Where a word of the table is left alone because its neighbours give it another sense."""


@dataclass(frozen=True)
class Entry:
    """What may stand for a word.

    Attributes:
        group: Number of the line it comes from; one text uses one word for one group.
        others: What may stand in its place, never itself.
        surroundings: Neighbours that forbid the exchange.
    """

    group: int
    others: tuple[str, ...]
    surroundings: Surroundings


def plural(noun: str) -> str:
    """Return the plural of a noun of the table; of several words, the last one changes."""
    if noun.endswith("man"):
        return f"{noun[:-3]}men"
    if noun.endswith("scarf"):
        return f"{noun[:-1]}ves"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return noun + ("es" if noun.endswith(("s", "ch", "sh", "x")) else "s")


def _groups(table: str) -> Iterator[dict[str, tuple[str, ...]]]:
    """Per line: every word that may be exchanged, with what may take its place."""
    for line in table.strip().splitlines():
        if ">" in line:
            word, others = line.split(">")
            yield {word.strip(): tuple(other.strip() for other in others.split(","))}
        else:
            words = tuple(word.strip() for word in line.split("|"))
            yield {word: tuple(other for other in words if other != word) for word in words}


def _table() -> dict[str, Entry | None]:
    found: dict[str, Entry | None] = {}
    in_singular = list(_groups(_NOUNS))
    in_plural = [{plural(word): tuple(map(plural, others)) for word, others in group.items()} for group in in_singular]
    for number, group in enumerate((*in_singular, *in_plural, *_groups(_WORDS))):
        for word, others in group.items():
            if word in found:
                raise ValueError(f'"{word}" stands in two lines of the table of synonyms')
            found[word] = Entry(number, others, SURROUNDINGS.get(word, Surroundings()))
    found.update({" ".join(kept.split()): None for kept in _KEPT.split(",")})
    return found


SYNONYMS: dict[str, Entry | None] = _table()
"""Word or words in small letters to what may stand for them; None for a compound that stays as it is."""

LONGEST: dict[str, int] = {}
"""First word to the number of words of the longest entry that begins with it."""
for _entry in SYNONYMS:
    _first, *_rest = _entry.split(" ")
    LONGEST[_first] = max(LONGEST.get(_first, 0), 1 + len(_rest))

SHADE_WORDS = frozenset(_SHADES)
COLOURS = _COLOURS | frozenset(
    words_of(
        """
        gray cobalt coral camel taupe lilac lavender mint lime rust silver gold golden magenta fuchsia ivory sand
        ochre aqua peach plum nude auburn blonde blond ginger platinum indigo wine scarlet emerald mauve salmon rose
        """
    )
)
"""Single words that name a colour of cloth or hair."""
