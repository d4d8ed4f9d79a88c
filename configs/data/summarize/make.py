#!/usr/bin/env python3
"""Writes train.tsv, val.tsv and test.tsv beside itself: news of a small town and their headlines, from a small grammar.

Each text has three to five sentences in any order. One tells what has just happened here, and its headline is the
summary: active, in the present, without articles and circumstances. The others tell of former years, of plans, of
other towns, of the weather, in the same words, so that only what a sentence says makes it the one that counts.
The three files share no text and no order of sentences of one. The same call writes the same files.

make.py --names FOLDER writes the files there, with a made-up name for each of the people, which no other text has.
"""
import pathlib
import random
import re
import sys

SIZES = {"train": 2000, "val": 200, "test": 200}

PLACES = ["mill", "bridge", "school", "library", "museum", "station", "church", "tower", "theatre", "bakery", "farm",
          "market"]
QUALITIES = ["old", "new", "small", "famous", "empty", "wooden", "white"]
# Who, what they may do; past, present.
DISASTERS = ["fire", "storm", "flood", "landslide"]
HARM = [("destroyed", "destroys"), ("damaged", "damages"), ("closed", "closes")]
BODIES = ["council", "company", "club", "university"]
DEEDS = [("bought", "buys"), ("sold", "sells"), ("opened", "opens"), ("repaired", "repairs"), ("closed", "closes")]
ANIMALS = ["bear", "goat", "swan", "cow"]
VISITS = [("entered", "enters"), ("blocked", "blocks"), ("visited", "visits")]
PEOPLE = ["baker", "farmer", "nurse", "teacher", "painter", "driver"]
PRIZES = ["cake contest", "chess game", "boat race", "singing contest"]
LOST = ["dog", "ring", "boat", "goat", "painting"]
KINDS = ["young", "tall", "local", "angry", "clever"]

SYLLABLES = ["ka", "ri", "mo", "le", "tu", "san", "bor", "vel", "ni", "qua", "esh", "yo", "pim", "gro", "fa", "zil",
             "hun", "wec", "ast"]

RECENT = ["on Monday", "on Friday", "this morning", "last night", "yesterday", "an hour ago"]
FORMER = ["last year", "ten years ago", "in the last century", "two winters ago"]
SPOTS = ["near the river", "behind the hill", "at the lake", "beside the road"]
PRINCIPALS = {"buys": "buy", "sells": "sell", "opens": "open", "repairs": "repair", "closes": "close"}


def one(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def deed(rng):
    """(who, whether any of many, past, present) of something done to a place."""
    who, acts, many = rng.choice([(DISASTERS, HARM, True), (BODIES, DEEDS, False), (ANIMALS, VISITS, True)])
    return (rng.choice(who), many, *rng.choice(acts))


def place(rng):
    return f"{rng.choice(QUALITIES)} {rng.choice(PLACES)}"


def done(rng, when):
    """(sentence, headline) of a deed."""
    who, many, past, present = deed(rng)
    what = place(rng)
    subject = one(who) if many else f"the {who}"
    spot = rng.choice(SPOTS + ["", "", ""])
    told = rng.choice([f"{subject} {past} the {what} {spot} {when}", f"{when} {subject} {past} the {what} {spot}",
                       f"the {what} {spot} was {past} by {subject} {when}"])
    return told, f"{who} {present} {what}"


def won(rng, when):
    who, prize = rng.choice(PEOPLE), rng.choice(PRIZES)
    told = rng.choice([f"{one(rng.choice(KINDS) + ' ' + who)} won the {prize} {when}",
                       f"{when} the {prize} was won by {one(who)} from {rng.choice(['here', 'the hills'])}"])
    return told, f"{who} wins {prize}"


def found(rng, when):
    who, what = rng.choice(PEOPLE), rng.choice(LOST)
    told = rng.choice([f"{one(rng.choice(KINDS) + ' ' + who)} found the lost {what} {rng.choice(SPOTS)} {when}",
                       f"{when} the lost {what} was found by {one(who)} {rng.choice(SPOTS)}"])
    return told, f"{who} finds lost {what}"


def happened(rng, when):
    return rng.choice([done, done, done, won, found])(rng, when)


def former(rng):
    return happened(rng, rng.choice(FORMER))[0]


def elsewhere(rng):
    return f"in another town {happened(rng, rng.choice(RECENT))[0]}"


def plan(rng):
    _, present = rng.choice(DEEDS)
    return f"{rng.choice(['next month', 'in spring', 'perhaps'])} the {rng.choice(BODIES)} will " \
           f"{PRINCIPALS[present]} the {place(rng)}"


def denied(rng):
    return f"it is not true that {happened(rng, rng.choice(RECENT))[0]}"


def scene(rng):
    return rng.choice([f"the {place(rng)} stands {rng.choice(SPOTS)}",
                       f"it was {rng.choice(['cold', 'warm', 'windy'])} {rng.choice(RECENT)}",
                       f"many people {rng.choice(['saw', 'heard of', 'talked about'])} it",
                       f"nobody was hurt, said {one(rng.choice(PEOPLE))}",
                       f"the {rng.choice(PEOPLE)} was {rng.choice(['glad', 'tired', 'surprised'])}"])


def texts(seed):
    rng = random.Random(seed)
    seen = set()
    while True:
        event, headline = happened(rng, rng.choice(RECENT))
        others = [rng.choice([former, elsewhere, plan, denied, scene, scene, scene])(rng)
                  for _ in range(rng.randint(2, 4))]
        sentences = [" ".join(s.split()) for s in [event, *others]]
        rng.shuffle(sentences)
        key = frozenset(sentences)
        if key not in seen:
            seen.add(key)
            text = " ".join(s[0].upper() + s[1:] + "." for s in sentences)
            yield f"{text}\t{headline.capitalize()}\n"


def with_names(line, rng, used):
    """The same text with a new name for each of its people, in the headline too."""
    names = {}

    def name(person):
        person = person.lower()
        while person not in names:
            new = "".join(rng.choice(SYLLABLES) for _ in range(3)).capitalize()
            if new not in used:
                used.add(new)
                names[person] = new
        return names[person]

    text, headline = line.rstrip("\n").split("\t")
    people = "|".join(PEOPLE)
    text = re.sub(rf"\b(?:an?|the)(?: (?:{'|'.join(KINDS)}))? ({people})\b", lambda m: name(m[1]), text, flags=re.I)
    headline = re.sub(rf"^({people})\b", lambda m: name(m[1]), headline, flags=re.I)
    return f"{text}\t{headline}\n"


def main():
    folder = pathlib.Path(__file__).parent
    named = sys.argv[1:2] == ["--names"]
    if named:
        folder = pathlib.Path(sys.argv[2])
        folder.mkdir(parents=True, exist_ok=True)
    drawn, rng, used = texts(1), random.Random(2), set()
    for name, size in SIZES.items():
        lines = [next(drawn) for _ in range(size)]
        if named:
            lines = [with_names(line, rng, used) for line in lines]
        (folder / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
