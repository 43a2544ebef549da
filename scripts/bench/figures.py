"""What scripts/bench.sh has measured: kept as a line a report, told as a table, drawn as SVG.

figures.py add NAME REPORT FILE SECONDS
                                    appends the report to FILE under NAME, with what it took to make it
figures.py table FILE               prints the median of each figure
figures.py plots FILE FOLDER        draws how cost grows with rows, runs and workers
"""

import json
import math
import statistics
import sys
import time
from pathlib import Path

FIGURES = [
    "runs_per_second", "steps_per_second", "requests_per_second", "rows_per_second", "p50_ms", "p99_ms", "empty_p50_ms", "p50_over_empty",
    "cpu_percent_of_one_core", "statements_per_second", "transactions_per_second", "first_ms", "resident_mib", "own_mib", "peak_mib",
    "lease_ms", "longest_over_lease_ms", "answered_p50_ms", "C_steps_per_second", "B_steps_per_second", "L_p50_ms",
    "S_selects_per_second", "Y_rows_per_second",
]


def add(name, report, file, seconds):
    line = {"name": name, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "took_seconds": int(seconds)}
    line.update(json.loads(Path(report).read_text()))
    with open(file, "a") as out:
        out.write(json.dumps(line) + "\n")


def read(file):
    """Reports by name, in the order in which they were measured first."""
    reports = {}
    for line in Path(file).read_text().splitlines():
        report = json.loads(line)
        reports.setdefault(report["name"], []).append(report)
    return reports


def median(reports, figure):
    values = [r[figure] for r in reports if isinstance(r.get(figure), (int, float))]
    return statistics.median(values) if values else None


def spell(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(file):
    print("| what | times | figures (medians) | in units of the limits beside | took, s |")
    print("|---|---|---|---|---|")
    for name, reports in read(file).items():
        figures = [f"{f.replace('_', ' ')} {spell(v)}" for f in FIGURES if (v := median(reports, f)) is not None]
        units = {}
        for report in reports:
            for unit, value in report.get("in_units", {}).items():
                units.setdefault(unit, []).append(value)
        told = [f"{unit.replace('_', ' ')} {spell(statistics.median(values))}" for unit, values in units.items()]
        print(f"| {name} | {len(reports)} | {', '.join(figures)} | {', '.join(told)} | {sum(r['took_seconds'] for r in reports)} |")


def series(reports, prefix, figure, parameter):
    """Points (x, median) of the names that begin with the prefix, one for each x."""
    by_x = {}
    for name, some in reports.items():
        for report in some if name.startswith(prefix) else []:
            x = report["parameters"].get(parameter)
            if isinstance(x, (int, float)) and isinstance(report.get(figure), (int, float)):
                by_x.setdefault(x, []).append(report[figure])
    return sorted((x, statistics.median(values)) for x, values in by_x.items())


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 360, 76, 20, 44, 52


def ticks(highest):
    """Round steps from zero to above the highest value."""
    raw = highest / 5 or 1
    power = 10 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw)
    return [step * i for i in range(math.ceil(highest / step) + 1)]


# Whoever reads on a dark page sees a dark plot; a viewer that knows nothing of that shows the light one, which has a ground of its own.
STYLE = """
.ground { fill: #ffffff } .head { fill: #1f2328; font-size: 15px } .word { fill: #59636e } .rule { stroke: #d1d9e0 }
.line { stroke: #0b5cad; stroke-width: 2; fill: none } .dot { fill: #0b5cad } .value { fill: #0b5cad }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0d1117 } .head { fill: #f0f6fc } .word { fill: #9198a1 } .rule { stroke: #3d444d }
  .line { stroke: #58a6ff } .dot, .value { fill: #58a6ff }
}
"""


def draw(title, x_label, y_label, points, path):
    """A line over a logarithmic x axis and a y axis from zero: text and shapes only."""
    if len(points) < 2:
        print(f"{path}: not drawn, there are only {len(points)} points of it", file=sys.stderr)
        return
    low, high = math.log10(points[0][0]), math.log10(points[-1][0])
    marks = ticks(max(y for _, y in points))

    def across(x):
        return LEFT + (math.log10(x) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def up(y):
        return HEIGHT - BOTTOM - y / marks[-1] * (HEIGHT - TOP - BOTTOM)

    def text(x, y, words, css, anchor="middle"):
        return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" class="{css}">{words}</text>'

    told = "; ".join(f"{x:,}: {spell(y)}" for x, y in points)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="sans-serif" font-size="12">',
        f"<title>{title}</title><desc>{x_label}: {y_label}. {told}</desc><style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" class="ground"/>',
        text(LEFT, 24, title, "head", "start"),
    ]
    for mark in marks:
        y = up(mark)
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.0f}" y2="{y:.0f}" class="rule"/>')
        out.append(text(LEFT - 8, y + 4, f"{mark:,g}", "word", "end"))
    line = " ".join(f"{across(x):.0f},{up(y):.0f}" for x, y in points)
    out.append(f'<polyline points="{line}" class="line"/>')
    for number, (x, y) in enumerate(points):
        # The outermost words end where the lines do.
        anchor = {0: "start", len(points) - 1: "end"}.get(number, "middle")
        out.append(f'<circle cx="{across(x):.0f}" cy="{up(y):.0f}" r="3.5" class="dot"/>')
        out.append(text(across(x), HEIGHT - BOTTOM + 18, f"{x:,}", "word", anchor))
        out.append(text(across(x), up(y) - 9, spell(y), "value", anchor))
    out.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_label, "word"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    out.append(f'<text transform="translate(16 {middle:.0f}) rotate(-90)" text-anchor="middle" class="word">{y_label}</text></svg>')
    Path(path).write_text("\n".join(out) + "\n")
    print(path)


def plots(file, folder):
    reports = read(file)
    Path(folder).mkdir(parents=True, exist_ok=True)
    draw("A claim, by finished runs in the tables", "finished runs", "ms, median", series(reports, "claim-", "p50_ms", "finished"),
         f"{folder}/claim-by-finished-runs.svg")
    draw("CSV export, by rows", "audit entries", "rows a second", series(reports, "export-1", "rows_per_second", "rows"),
         f"{folder}/export-by-rows.svg")
    draw("Runs of 10 steps, by runs submitted at once", "runs", "runs a second", series(reports, "saga-runs-", "runs_per_second", "runs"),
         f"{folder}/runs-by-burst.svg")
    draw("Runs of 10 steps, by worker processes", "workers", "runs a second", series(reports, "saga-workers-", "runs_per_second", "workers"),
         f"{folder}/runs-by-workers.svg")


if __name__ == "__main__":
    commands = {"add": (add, 4), "table": (table, 1), "plots": (plots, 2)}
    command, arguments = (sys.argv[1] if len(sys.argv) > 1 else ""), sys.argv[2:]
    if command not in commands or len(arguments) != commands[command][1]:
        sys.exit(__doc__)
    commands[command][0](*arguments)
