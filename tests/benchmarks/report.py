"""The results of the benchmarks as text: the page RESULTS.md, and what README.md quotes. Imports nothing heavy."""

import statistics

from tests.benchmarks.rows import ARTICLES, PROFILED, ROWS

COLUMNS = ("Row", "Peer", "Peer, measured", "Ours", "Ours, measured", "Ratio", "Aim", "Result", "n")
HEAD = f"| {' | '.join(COLUMNS)} |\n|---|---|--:|---|--:|--:|--:|---|--:|"
NOTE = "Ratio: how many times better ours is; for `roofline`, ours as a part of the peak. n: measurements of each side."
INTRODUCTION = """\
`make bench` measures all rows again, in up to 90 minutes on two cores that do nothing else; `make bench ONLY=load`
measures one. The environment variable CIFAR10_DIR must name the images. Every measurement is a process of its own; a
row is not saved if other work took over 3% of the cores. Ours has oneDNN compute the convolutions, as in the notebooks,
the peer what TensorFlow chooses, which leaves it off on x86 processors without AVX512_VNNI.
Where n is over 1, ours and theirs are measured in turn, and the table shows medians. A ratio after "over" is a lower
bound: the peer stopped, or was stopped, before it reached its target. The aims were set beforehand.

The peers are recipes of published articles, with code written for this comparison and the networks of
`utils/networks.py`:"""


def page(results):
    """The whole of RESULTS.md: `results` is the content of results.json, a dict from the name of a row."""
    return "\n\n".join([
        "<!-- written by `make sync` from results.json and rows.py; changes made by hand are lost -->",
        "# Side by side with the articles' recipes",
        INTRODUCTION,
        "\n".join(f"- `{network}`: {article}." for network, article in ARTICLES.items()),
        table(results),
        NOTE,
        conditions(results),
        *(section(row, results[row.name]) for row in ROWS if row.name in results),
    ]) + "\n"  # fmt: skip


def summary(results):
    """What README.md quotes, or nothing while there are no results."""
    text = (
        "Side by side with recipes of published articles, as `make bench` measured it with `CIFAR10_DIR` set; "
        "[RESULTS.md](tests/benchmarks/RESULTS.md) says what ran instead of what:"
    )
    return "\n\n".join([text, table(results), NOTE, conditions(results)]) if results else ""


def table(results):
    """The table of those rows that have a result."""
    return "\n".join([HEAD, *(table_row(row, results[row.name]) for row in ROWS if row.name in results)])


def table_row(row, result):
    """How many times better ours is, and whether that meets the aim, with all that stands beside it."""
    ours, theirs = result["ours"], result["theirs"]
    ratio, aim, met = "–", f"at least {row.aim:g}", False
    if not row.peer:
        aim, met = f"at most {row.aim:g} {row.unit}", statistics.median(ours["values"]) <= row.aim
    elif ours.get("reached", True):
        times = statistics.median(theirs["values"]) / statistics.median(ours["values"])
        times = 1 / times if row.more_is_better else times
        ratio, met = ("" if theirs.get("reached", True) else "over ") + number(times), times >= row.aim
    cells = [row.name, row.peer or "–", measured(row, theirs), row.ours, measured(row, ours), ratio]
    return f"| {' | '.join([*cells, aim, 'met' if met else 'missed', str(result['n'])])} |"


def measured(row, side):
    """The median of one side, and whether it reached its target."""
    if not side:
        return "–"
    value = f"{number(statistics.median(side['values']))} {row.unit}"
    if side.get("reached", True):
        return value
    return f"not reached in {value} (best {side['facts']['best validation accuracy, %']:.1f}%)"


def conditions(results):
    """Where and on what the rows were measured: one line for each machine and source of images."""
    places = {}
    for name, result in results.items():
        places.setdefault(f"{result['machine']}; images: {result['data']}.", []).append(name)
    return "\n\n".join(f"{', '.join(names)}: {place}" if len(places) > 1 else place for place, names in places.items())


def section(row, result):
    """What stands below the table about one row."""
    lines = []
    for name in ("ours", "theirs"):
        side = result[name] or {"values": [], "facts": {}}
        parts = [f"{', '.join(map(number, side['values']))} {row.unit}"] if len(side["values"]) > 1 else []
        for fact, value in side["facts"].items():
            parts.append(f"{fact}: {value if isinstance(value, int) else number(value)}")
        lines += [f"- {name}: {'; '.join(parts)}"] if parts else []
    others = f", while other work took {result['others']:.1%} of the cores" if "others" in result else ""
    lines.append(f"- measured on {result['date']} by `{result['command']}`{others}")
    limit = [f"What limits it, profiled on {PROFILED}: {row.limit}"] if row.limit else []
    return "\n\n".join([f"## {row.name}", row.ran, "\n".join(lines), *limit])


def number(value):
    """A number with three digits, or all of those before the point."""
    if value < 0.9995:
        return f"{value:.3g}"
    return f"{value:,.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}"
