"""A small tokenizer for offline use, made on demand: byte-level BPE for English.

    python -m tidemark.simulator.tokenizer DIRECTORY

writes tokenizer.json and tokenizer_config.json, which load offline in
`tokenizers` and in transformers' AutoTokenizer. It is learned from the words
below and no others, so the same version always gives the same tokens. Common
words are one token, the rest falls into parts; any text makes the round trip.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tidemark.errors import ConfigError

VOCABULARY_LIMIT = 14_000
END_OF_TEXT = "<|endoftext|>"

# Earlier words count more, so that what is common is merged first.
_COMMON = """
the and to of a in that is was he for it with as his on be at by i this had not are but from or
have an they which one you were all her she there would their we him been has when who will no
more if out so up said what its about than into them can only other time new some could these two
may first then do any like my now over such our man me even most made after also did many off
before must well back through years much where your way down should because long each just state
those people too mr little good make world very see own work men day get here old life both great
between being under three never know same last another while us might come since against go came
right take used himself few house use place during high without again home around small however
found part school every once water left war upon always far night put head does thing think hand
called find look next set asked turn seen face love eyes light heart fair sweet beauty mind live
tide sea moon wave shore ship wind salt sand deep harbour river rain cloud sun star sky earth land
stone tree leaf flower grass field road hill bridge door window room table chair book page word
line letter name voice song music dance child mother father sister brother friend king queen lord
lady master servant summer winter spring autumn morning evening noon hour minute second week month
year yesterday today tomorrow white black red green blue gold silver iron wood glass paper fire
ice bread wine milk meat fish bird horse dog cat sheep cow wolf lion hungry cold warm hot dry wet
young early late slow fast quick strong weak rich poor happy sad true false better best worse
worst large short wide narrow heavy easy hard soft loud quiet bright dark clear full empty open
closed whole half double single simple strange common public private free safe ready sure certain
goes going gone went give gives gave given gives taken took makes making keep kept leave left
begin began begun end ended stop stopped start started run ran walk walked stand stood sit sat lie
lay fall fell rise rose grow grew grown shine shone show showed shown speak spoke spoken tell told
hear heard feel felt hold held bring brought buy bought sell sold send sent spend spent lose lost
win won meet met read write wrote written draw drew sing sang eat ate drink drank sleep slept wake
woke dream dreamed die died born bear bore carry carried wear wore break broke broken choose chose
answer question reason cause effect problem number count measure model system service server
client request response token model data table result report cost price money market company
government country city town village street north south east west left law power force order
change move point case fact idea form kind sort piece group class level rate value amount weight
length size shape side top bottom front middle edge centre corner thee thou thy thine doth hath
shall art ere nor yet oft o'er 'tis thyself myself herself itself themselves yourself itself self
against among above below beside behind beyond within without toward upon until unless although
though whether whose whom why how else ever still perhaps quite rather almost enough nothing
something anything everything nobody somebody everybody nowhere somewhere everywhere together
alone apart away near often seldom sometimes soon already later ago perhaps indeed therefore thus
pleasure treasure nature creature picture figure future past present memory history story poem
verse prose truth virtue honour glory fame shame blame praise pride envy hate anger fear hope
faith grace mercy pity sorrow grief tears smile laugh kiss lips cheek brow hair breath blood bone
body soul spirit ghost angel devil heaven hell god death grave tomb ashes dust worm rose thorn bud
bloom blossom fruit seed root branch bough
able about account across act action active activity actual add address advance affect age agree
aim air allow amount ancient annual appear apply approach area arise arm army arrive article ask
assume attack attempt attend author authority average avoid aware balance ball bank base basic
battle beat belief benefit bill bit board boat born box branch brief build burn busy capital
captain care case catch central century chance character charge chief church circle claim climb
code collect colour combine commercial commission committee compare compose concern condition
conduct connect consider contain content context continue contract control copy correct count
course court cover create credit crime crowd culture current custom cut daily damage danger date
deal dear debate decide decline degree deliver demand depend describe desert desire detail develop
device difference different difficult dinner direct discover discuss disease display distance
district divide doctor document doubt dozen due duty earn east economic effort eight eleven employ
enemy energy engine enjoy enter entire equal escape especially establish event evidence exact
example except exchange exercise exist expect expense experience explain express extend extent
extra factor fail fair familiar family famous farm farther favour feature fellow fight file film
final finger finish firm fit five fix flat floor foot foreign forest forget former forth forward
four frame function gain game gather general gentle girl glad grand grant guard guess guide hall
handle happen heat help hide hire hospital hotel human hundred hunt husband image imagine immediate
importance important impossible improve inch include income increase independent indicate
individual industry influence inform inside instance instead interest involve island issue join
journey judge jump key kill kitchen knowledge labour lack language later lead learn least lesson
library license lift limit list listen local lock machine main maintain major manage manner map
mark marry mass master match material matter mean measure medical member memory mental mention
method middle mile military million minister miss modern moment money moral mountain mouth
movement narrow nation native natural necessary need neighbour nine none normal note notice object
observe obtain occasion occur offer office officer official oil operate opinion opportunity oppose
original ought outside own owner pain paint pair parent park particular party pass pattern pay
peace per perfect perform period permit person physical pick plain plan plant play point police
policy political popular population position possess possible post practice prepare prepare press
pressure prevent print prison probable process produce product professor profit progress project
promise proper property propose protect prove provide pull purpose push quality quarter race radio
raise reach read real realise receive recent recognise recommend record reduce refer reflect refuse
regard region relation religion remain remember remove repeat reply represent require research rest
result return review rich ride ring rise risk roof round rule scene science season seat secret
section secure seem sense separate serious settle seven several shake share sharp shoot shop shot
shoulder sight sign silence similar sir situation six skill skin slight smoke social society
soldier solve source space special spread spring square staff stage star station stay step stone
store straight stream strike struggle study style subject succeed success sudden suffer suggest
suit supply support suppose surface surprise survey system talk task teach team temper ten tend
term test thank theory thick thin third thousand threat throw tie title tongue total touch toward
track trade train travel treat trial triumph trouble trust try twelve twenty type understand union
unit unite university useful usual vain valley various vast view visit volume vote wait wall want
warn wash waste watch wealth weapon welcome wide wife wild wish wonder worry worth yield zero
"""

# Parts of longer words, so that words not in the list are not spelled out.
_PARTS = """
ing ed er est ly ness ment tion sion able ible ful less ous ive al ent ant ence ance ity ism ist
ish ward wise ship hood dom age ure ate ify ize ise en un re in im dis mis over under out up fore
inter trans sub super anti non pre pro con com per ex de ab ad st th ch sh wh ph gh ck ng nd nt
ll ss tt ff ee oo ea ou ai ay oi oy ow ie ei ght ould ough augh tch dge ble ple tle ack eck ick
ock uck and end ind ond und ank ink onk unk ast est ist ost ust ain ine one une ake ike oke all ell
ill oll ull eat eam ean ear eal are ere ire ore ure
"""

_ONSETS = """
b c d f g h j k l m n p qu r s t v w y z bl br ch cl cr dr fl fr gl gr pl pr sc sh sl sp st tr th
"""
_VOWELS = ("a", "e", "i", "o", "u")
_CODAS = ("l", "m", "n", "r", "s", "t", "d", "c", "p", "g", "v", "b")


def _syllables() -> Iterator[str]:
    """Onset, vowel, and mostly a coda: what words not in the lists fall into."""
    for onset in _ONSETS.split():
        for vowel in _VOWELS:
            yield onset + vowel
            if len(onset) == 1:
                yield from (onset + vowel + coda for coda in _CODAS)


def _lessons() -> Iterator[str]:
    """The text to learn from: each word with a space before it, and capitalised."""
    common = list(dict.fromkeys(_COMMON.split()))
    for rank, word in enumerate(common):
        weight = 3 + 400 // (rank + 8)
        yield f" {word}" * weight
        stem = word.removesuffix("e")
        yield f" {word}s {stem}ed {stem}ing {stem}er {stem}est {word}ly"
        # A line's first word has no space before it.
        yield f"\n{word.capitalize()} {word.capitalize()}"
        yield f"\n{word}"
    for part in _PARTS.split():
        yield f"\n{part}" * 3
    for syllable in _syllables():
        yield f"\n{syllable} {syllable}" * 2
    yield from (
        f"{mark} {mark}" for mark in (",", ".", ";", ":", "?", "!", "'s", "-", "\n", "\n\n")
    )
    yield from (f" {number}" for number in range(100))


def build_tokenizer(directory: Path) -> Path:
    """Write the tokenizer's files into `directory` (made if missing) and answer it.

    Raises ConfigError when they cannot be written.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_LIMIT,
        min_frequency=1,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_lessons(), trainer=trainer)
    configuration = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 131_072,
        "clean_up_tokenization_spaces": False,
        "eos_token": END_OF_TEXT,
        "pad_token": END_OF_TEXT,
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
        (directory / "tokenizer_config.json").write_text(
            json.dumps(configuration, indent=2) + "\n", encoding="utf-8"
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"cannot write the tokenizer: {reason}", str(directory), "Give a writable directory"
        ) from error
    return directory


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; answers the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tidemark.simulator.tokenizer", description="Write a small tokenizer."
    )
    parser.add_argument("directory", type=Path)
    given = parser.parse_args(arguments)
    try:
        print(build_tokenizer(given.directory))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
