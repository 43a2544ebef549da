"""What scripts/bench.sh has measured: kept as a line a report, told as a table, drawn as SVG.

figures.py add NAME REPORT FILE     appends the report to FILE under NAME
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
    "cpu_percent_of_one_core", "statements_per_second", "transactions_per_second", "C_steps_per_second", "B_steps_per_second",
    "L_p50_ms", "S_selects_per_second", "Y_rows_per_second",
]


def add(name, report, file):
    line = {"name": name, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
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
    print("| what | times | figures (medians) | in units of the limits beside |")
    print("|---|---|---|---|")
    for name, reports in read(file).items():
        figures = [f"{f.replace('_', ' ')} {spell(v)}" for f in FIGURES if (v := median(reports, f)) is not None]
        units = {}
        for report in reports:
            for unit, value in report.get("in_units", {}).items():
                units.setdefault(unit, []).append(value)
        told = [f"{unit.replace('_', ' ')} {spell(statistics.median(values))}" for unit, values in units.items()]
        print(f"| {name} | {len(reports)} | {', '.join(figures)} | {', '.join(told)} |")


def series(reports, prefix, figure, parameter):
    """Points (x, median) of the names that begin with the prefix."""
    points = []
    for name, some in reports.items():
        value = median(some, figure)
        if name.startswith(prefix) and value is not None:
            x = some[0]["parameters"].get(parameter)
            if isinstance(x, (int, float)):
                points.append((x, value))
    return sorted(points)


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 360, 76, 20, 44, 52


def ticks(highest):
    """Round steps from zero to above the highest value."""
    raw = highest / 5 or 1
    power = 10 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw)
    return [step * i for i in range(math.ceil(highest / step) + 1)]


def draw(title, x_label, y_label, points, path):
    """Lines over a logarithmic x axis and a y axis from zero: text and shapes only, readable on light and dark pages."""
    if len(points) < 2:
        print(f"{path}: too few points to draw", file=sys.stderr)
        return
    low, high = math.log10(points[0][0]), math.log10(points[-1][0])
    marks = ticks(max(y for _, y in points))
    across = lambda x: LEFT + (math.log10(x) - low) / (high - low) * (WIDTH - LEFT - RIGHT)
    up = lambda y: HEIGHT - BOTTOM - y / marks[-1] * (HEIGHT - TOP - BOTTOM)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}" '
        'font-family="sans-serif" font-size="12">',
        f'<title>{title}</title><rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="15" fill="#222222">{title}</text>',
    ]
    for mark in marks:
        y = up(mark)
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#444444">{mark:,g}</text>')
    for x, _ in points:
        out.append(f'<text x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="#444444">{x:,}</text>')
    line = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
    out.append(f'<polyline points="{line}" fill="none" stroke="#0b5cad" stroke-width="2"/>')
    for x, y in points:
        out.append(f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3.5" fill="#0b5cad"><title>{x:,}: {spell(y)}</title></circle>')
        out.append(f'<text x="{across(x):.1f}" y="{up(y) - 8:.1f}" text-anchor="middle" fill="#0b5cad">{spell(y)}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle" fill="#444444">{x_label}</text>')
    out.append(f'<text transform="translate(16 {HEIGHT / 2}) rotate(-90)" text-anchor="middle" fill="#444444">{y_label}</text></svg>')
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
    commands = {"add": (add, 3), "table": (table, 1), "plots": (plots, 2)}
    command, arguments = (sys.argv[1] if len(sys.argv) > 1 else ""), sys.argv[2:]
    if command not in commands or len(arguments) != commands[command][1]:
        sys.exit(__doc__)
    commands[command][0](*arguments)
