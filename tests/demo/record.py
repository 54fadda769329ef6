#!/usr/bin/env python3
"""Runs the demo in a terminal and records it as an animated SVG, for the README.

    tests/demo/record.py SVG

Every line is what the run printed. Its times are the run's, too, but for waits, which are cut short, and for a pause after
each step, in which one can read it. It loops; where motion is not wanted, or is not understood, the last screen is shown.
There is no script in it, and its colours follow the reader's preference for light or dark.
"""

import os
import pty
import re
import sys
import time
from pathlib import Path
from xml.sax.saxutils import escape

DEMO = Path(__file__).with_name("run")
COLUMNS, ROWS = 120, 27  # of the terminal, and how many of its lines are seen at a time
WIDTH, HEIGHT = 8.43, 19  # of a character at 14px, and of a line
MARGIN, BAR = 16, 34
LONGEST_WAIT = 1.2  # seconds
PAUSE, PAUSE_FOR_A_LINE = 1.2, 0.16  # after a step, seconds
AT_THE_END = 5.0
LIMIT = 100_000  # bytes

# Of the escape sequences that Ansible and the demo use.
CLASSES = {"1": "b", "2": "d", "31": "r", "32": "g", "33": "y", "34": "u", "35": "m", "36": "c"}

# Light, then dark: background, bar, border, text, dim, and the colours above.
COLOURS = ["bg", "bar", "edge", "fg", "d", "r", "g", "y", "u", "m", "c"]
LIGHT = "#ffffff #f6f8fa #d1d9e0 #1f2328 #59636e #cf222e #1a7f37 #9a6700 #0969da #8250df #1b7c83".split()
DARK = "#0d1117 #161b22 #3d444d #e6edf3 #9198a1 #ff7b72 #3fb950 #d29922 #58a6ff #bc8cff #39c5cf".split()


def main(path):
    lines = record()
    svg = draw(lines)
    if len(svg.encode()) > LIMIT:
        sys.exit(f"the recording has {len(svg.encode())} bytes, more than {LIMIT}")
    Path(path).write_text(svg)
    print(f"{path}: {len(lines)} lines, {len(svg.encode())} bytes")


def record():
    """Each line that the demo prints, with the second at which it was complete."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS))
        os.environ.pop("NO_COLOR", None)
        os.execv(DEMO, [str(DEMO)])
    output, lines, began = b"", [], time.monotonic()
    while chunk := read(terminal):
        os.write(sys.stdout.fileno(), chunk)
        *complete, output = (output + chunk).split(b"\n")
        at = time.monotonic() - began
        lines += [(at, line.decode().rstrip("\r")) for line in complete]
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        sys.exit("the demo failed")
    return lines


def read(terminal):
    try:
        return os.read(terminal, 65536)
    except OSError:  # a terminal that nobody has open any more
        return b""


def draw(lines):
    rows, moments, clock, before, step, style = [], [], 0.0, 0.0, 0, ""
    for at, line in lines:
        clock += min(at - before, LONGEST_WAIT)
        before = at
        if not line and rows:
            clock += PAUSE + PAUSE_FOR_A_LINE * step
            step = 0
        if line or rows:  # no empty line at the top
            more, style = wrapped(line, style)
            rows += more
            step += len(more)
            moments.append((clock, len(rows)))
    width = round(max(sum(len(text) for _, text in row) for row in rows) * WIDTH + 2 * MARGIN)
    return page(rows, width, moments, clock + AT_THE_END)


def wrapped(line, style):
    """The line as rows of (class, text), and the class that the next line begins with."""
    rows, room = [[]], COLUMNS
    for number, part in enumerate(re.split(r"\x1b\[([\d;]*)m", line)):
        if number % 2:
            style = CLASSES.get(next((code for code in reversed(part.split(";")) if code.strip("0")), ""), "")
            continue
        while part:
            if room == 0:
                rows, room = [*rows, []], COLUMNS
            rows[-1].append((style, part[:room]))
            part, room = part[room:], room - len(rows[-1][-1][1])
    return rows, style


def page(rows, width, moments, duration):
    height = BAR + ROWS * HEIGHT + MARGIN
    last = max(len(rows) - ROWS, 0)

    def keyframes(name, offset):
        frames, before = "", None
        for at, count in [(0.0, 0), *moments]:
            place = offset(count)
            if place != before:
                frames += f"{at / duration * 100:.2f}%{{transform:translateY({place}px)}}"
            before = place
        return f"@keyframes {name}{{{frames}to{{transform:translateY({before}px)}}}}"

    def colours(values):
        return ";".join(f"--{name}:{value}" for name, value in zip(COLOURS, values))

    style = [
        f":root{{{colours(LIGHT)}}}",
        f"@media(prefers-color-scheme:dark){{:root{{{colours(DARK)}}}}}",
        'text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:var(--fg);white-space:pre}',
        ".b{font-weight:bold}",
        *(f".{name}{{fill:var(--{name})}}" for name in COLOURS[4:]),
        f".s{{transform:translateY({-last * HEIGHT}px);animation:s {duration:.1f}s step-end infinite}}",
        f".v{{transform:translateY({len(rows) * HEIGHT}px);animation:v {duration:.1f}s step-end infinite}}",
        keyframes("s", lambda count: -max(count - ROWS, 0) * HEIGHT),
        keyframes("v", lambda count: count * HEIGHT),
        "@media(prefers-reduced-motion:reduce){.s,.v{animation:none}}",
    ]
    text = []
    for number, row in enumerate(rows):
        spans = "".join(f'<tspan class="{name}">{escape(part)}</tspan>' if name else escape(part) for name, part in row)
        if spans:
            text.append(f'<text x="{MARGIN}" y="{number * HEIGHT + 14}">{spans}</text>')
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
            "<title>make demo: a scanner is created, repaired, rolled back, adjusted, shown and removed</title>",
            f"<style>{''.join(style)}</style>",
            f'<clipPath id="w"><rect width="{width}" height="{height - BAR - MARGIN}" y="{BAR + 6}"/></clipPath>',
            f'<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8" fill="var(--bg)" stroke="var(--edge)"/>',
            f'<path d="M.5 {BAR - 4}V8.5a8 8 0 0 1 8-8H{width - 8.5}a8 8 0 0 1 8 8V{BAR - 4}z" fill="var(--bar)" stroke="var(--edge)"/>',
            f'<text x="{width / 2}" y="{BAR / 2 + 3}" text-anchor="middle" class="d">make demo</text>',
            f'<g clip-path="url(#w)"><g transform="translate(0 {BAR + 6})"><g class="s">',
            *text,
            # What comes later is behind this.
            f'<rect class="v" x="1" width="{width - 2}" height="{len(rows) * HEIGHT}" fill="var(--bg)"/>',
            "</g></g></g>",
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
