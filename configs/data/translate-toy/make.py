#!/usr/bin/env python3
"""Writes train.tsv, val.tsv and test.tsv beside itself: English sentences and their German, drawn from a small grammar.

What makes German more than a word-for-word copy is all here: three genders, plurals, nominative and accusative, endings
of adjectives after "der" and after "ein", the verb in second place after an adverb, verbs at the end of "weil", "dass"
and relative clauses, the infinitive at the end after a modal verb. An English sentence has exactly one German one.
The three files share no sentence. The same call writes the same files.
"""
import pathlib
import random

SIZES = {"train": 4500, "val": 250, "test": 250}

# English, its plural, German, its plural, gender; of beings also the English pronoun. Beings act, things do not.
BEINGS = [("dog", "dogs", "Hund", "Hunde", "m", "it"), ("bird", "birds", "Vogel", "Vögel", "m", "it"),
          ("teacher", "teachers", "Lehrer", "Lehrer", "m", "he"), ("cook", "cooks", "Koch", "Köche", "m", "he"),
          ("cat", "cats", "Katze", "Katzen", "f", "it"), ("woman", "women", "Frau", "Frauen", "f", "she"),
          ("mouse", "mice", "Maus", "Mäuse", "f", "it"), ("sister", "sisters", "Schwester", "Schwestern", "f", "she"),
          ("child", "children", "Kind", "Kinder", "n", "it"), ("horse", "horses", "Pferd", "Pferde", "n", "it"),
          ("girl", "girls", "Mädchen", "Mädchen", "n", "she"), ("calf", "calves", "Kalb", "Kälber", "n", "it")]
THINGS = [("apple", "apples", "Apfel", "Äpfel", "m"), ("ball", "balls", "Ball", "Bälle", "m"),
          ("key", "keys", "Schlüssel", "Schlüssel", "m"), ("letter", "letters", "Brief", "Briefe", "m"),
          ("flower", "flowers", "Blume", "Blumen", "f"), ("bottle", "bottles", "Flasche", "Flaschen", "f"),
          ("lamp", "lamps", "Lampe", "Lampen", "f"), ("bag", "bags", "Tasche", "Taschen", "f"),
          ("book", "books", "Buch", "Bücher", "n"), ("picture", "pictures", "Bild", "Bilder", "n"),
          ("house", "houses", "Haus", "Häuser", "n"), ("egg", "eggs", "Ei", "Eier", "n")]
ADJECTIVES = [("old", "alt"), ("small", "klein"), ("big", "groß"), ("new", "neu"), ("red", "rot"), ("green", "grün"),
              ("beautiful", "schön"), ("strange", "seltsam")]
# English for it, English for them and infinitive; German for it, for them, infinitive. All take an accusative.
VERBS = [("sees", "see", "sieht", "sehen"), ("finds", "find", "findet", "finden"),
         ("carries", "carry", "trägt", "tragen"), ("looks for", "look for", "sucht", "suchen"),
         ("loves", "love", "liebt", "lieben"), ("needs", "need", "braucht", "brauchen"),
         ("draws", "draw", "zeichnet", "zeichnen"), ("forgets", "forget", "vergisst", "vergessen")]
IDLE = [("sleeps", "sleep", "schläft", "schlafen"), ("laughs", "laugh", "lacht", "lachen"),
        ("waits", "wait", "wartet", "warten"), ("dances", "dance", "tanzt", "tanzen")]
MODALS = [("can", "can", "kann", "können"),
          ("must", "must", "muss", "müssen"), ("should", "should", "sollte", "sollten")]
ADVERBS = [("today", "heute"), ("in the morning", "morgens"), ("often", "oft"), ("sometimes", "manchmal"),
           ("here", "hier")]
SAYING = [("says", "say", "sagt", "sagen"), ("knows", "know", "weiß", "wissen"),
          ("believes", "believe", "glaubt", "glauben")]

# Articles by gender or "p" for plural; nominative, accusative.
DEFINITE = {"m": ("der", "den"), "f": ("die", "die"), "n": ("das", "das"), "p": ("die", "die")}
INDEFINITE = {"m": ("ein", "einen"), "f": ("eine", "eine"), "n": ("ein", "ein")}
# Endings of adjectives after them.
WEAK = {"m": ("e", "en"), "f": ("e", "e"), "n": ("e", "e"), "p": ("en", "en")}
MIXED = {"m": ("er", "en"), "f": ("e", "e"), "n": ("es", "es"), "p": ("e", "e")}
PRONOUNS = {"m": "er", "f": "sie", "n": "es", "p": "sie"}


def noun_phrase(rng, nouns, case, adjective=0.4):
    """(English, German, gender or "p", English pronoun) of e.g. "the old dog"; case 0 is nominative, 1 accusative."""
    english, english_plural, german, german_plural, gender, *pronoun = rng.choice(nouns)
    plural, definite = rng.random() < 0.35, rng.random() < 0.6
    form = "p" if plural else gender
    en, de = [english_plural if plural else english], [german_plural if plural else german]
    if rng.random() < adjective:
        adj_en, adj_de = rng.choice(ADJECTIVES)
        en.insert(0, adj_en)
        de.insert(0, adj_de + (WEAK if definite else MIXED)[form][case])
    if definite:
        en.insert(0, "the")
        de.insert(0, DEFINITE[form][case])
    elif not plural:
        en.insert(0, "an" if en[0][0] in "aeiou" else "a")
        de.insert(0, INDEFINITE[form][case])
    return " ".join(en), " ".join(de), form, "they" if plural else "".join(pronoun)


def predicate(rng, form, adjective=0.4):
    """(English, German verb, German rest): what a subject of this number does."""
    many = form == "p"
    verb = rng.choice(VERBS + IDLE)
    object_en, object_de = "", ""
    if verb in VERBS:
        object_en, object_de, *_ = noun_phrase(rng, THINGS if rng.random() < 0.6 else BEINGS, 1, adjective)
    if rng.random() < 0.25:
        modal = rng.choice(MODALS)
        return f"{modal[0]} {verb[1]} {object_en}".strip(), modal[3 if many else 2], f"{object_de} {verb[3]}".strip()
    return f"{verb[many]} {object_en}".strip(), verb[3 if many else 2], object_de


def simple(rng):
    subject_en, subject_de, form, *_ = noun_phrase(rng, BEINGS, 0)
    en, verb, rest = predicate(rng, form)
    if rng.random() < 0.4:
        adverb_en, adverb_de = rng.choice(ADVERBS)
        return f"{adverb_en} {subject_en} {en}", f"{adverb_de} {verb} {subject_de} {rest}"
    return f"{subject_en} {en}", f"{subject_de} {verb} {rest}"


def because(rng):
    """The German pronoun has the gender of the word it stands for, and the verb goes to the end."""
    subject_en, subject_de, form, pronoun = noun_phrase(rng, BEINGS, 0)
    en, verb, rest = predicate(rng, form, 0)
    why, why_verb, why_rest = predicate(rng, form, 0)
    return (f"{subject_en} {en} because {pronoun} {why}",
            f"{subject_de} {verb} {rest}, weil {PRONOUNS[form]} {why_rest} {why_verb}")


def that(rng):
    subject_en, subject_de, form, *_ = noun_phrase(rng, BEINGS, 0, 0.2)
    saying = rng.choice(SAYING)
    other_en, other_de, other_form, *_ = noun_phrase(rng, BEINGS, 0, 0.2)
    en, verb, rest = predicate(rng, other_form, 0.2)
    return (f"{subject_en} {saying[form == 'p']} that {other_en} {en}",
            f"{subject_de} {saying[3 if form == 'p' else 2]}, dass {other_de} {rest} {verb}")


def relative(rng):
    """ "the dog that the cat sees sleeps": the German pronoun has the gender of the dog and the case of its clause."""
    subject_en, subject_de, form, *_ = noun_phrase(rng, BEINGS, 0, 0.2)
    en, verb, rest = predicate(rng, form, 0.2)
    inner = rng.choice(VERBS)
    if rng.random() < 0.5:
        other_en, other_de, other_form, *_ = noun_phrase(rng, BEINGS, 0, 0)
        clause_en = f"that {other_en} {inner[other_form == 'p']}"
        clause_de = f"{DEFINITE[form][1]} {other_de} {inner[3 if other_form == 'p' else 2]}"
    else:
        other_en, other_de, *_ = noun_phrase(rng, THINGS, 1, 0)
        clause_en = f"that {inner[form == 'p']} {other_en}"
        clause_de = f"{DEFINITE[form][0]} {other_de} {inner[3 if form == 'p' else 2]}"
    return f"{subject_en} {clause_en} {en}", f"{subject_de}, {clause_de}, {verb} {rest}"


def sentence(words):
    """Where a clause has no object, two spaces or one before a comma are left."""
    text = " ".join(words.split()).replace(" ,", ",")
    return text[0].upper() + text[1:] + "."


def pairs(seed):
    rng = random.Random(seed)
    seen = set()
    while True:
        english, german = map(sentence, rng.choice([simple, simple, because, that, relative])(rng))
        if english not in seen:
            seen.add(english)
            yield f"{english}\t{german}\n"


def main():
    drawn = pairs(1)
    for name, size in SIZES.items():
        path = pathlib.Path(__file__).with_name(f"{name}.tsv")
        path.write_text("".join(next(drawn) for _ in range(size)), encoding="utf-8")


if __name__ == "__main__":
    main()
