"""The ratios as a picture, written by hand in SVG."""

import math
from xml.sax.saxutils import escape

from .report import BASE, Results

# Of each panel's bars, in pixels.
LABEL_WIDTH = 270
PANEL_WIDTH = 330
PANEL_GAP = 60
BAR_HEIGHT = 14
BAR_GAP = 4
GROUP_GAP = 18
TOP = 88
BOTTOM = 44
# Ratios beyond these are drawn at the edge, with their number beside them.
RATIO_MIN, RATIO_MAX = 1 / 16, 16.0
TICKS = {1 / 16: "1/16", 1 / 8: "1/8", 1 / 4: "1/4", 1 / 2: "1/2", 1: "1", 2: "2", 4: "4", 8: "8", 16: "16"}
COLOURS = {"floor": "#6b7280", "uws": "#c2410c", "tungstenite": "#1d4ed8", "fastwebsockets": "#0f766e"}
PANELS = (
    ("messages_per_second", "Rate: engine / this", "right of 1: the engine is faster"),
    ("cpu_nanoseconds", "CPU time a message: engine / this", "left of 1: the engine is cheaper"),
)


def ratios(all_results: list[Results]) -> str:
    """One group of bars for each scenario, one bar for each server, in two panels."""
    groups = [(results, [server for server in results.runs if server != BASE]) for results in all_results]
    groups = [(results, servers) for results, servers in groups if servers and BASE in results.runs]
    heights = [len(servers) * (BAR_HEIGHT + BAR_GAP) + GROUP_GAP for _, servers in groups]
    width = LABEL_WIDTH + len(PANELS) * (PANEL_WIDTH + PANEL_GAP)
    bottom = TOP + sum(heights)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{bottom + BOTTOM}" '
        f'viewBox="0 0 {width} {bottom + BOTTOM}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{bottom + BOTTOM}" fill="#ffffff"/>',
        _text(12, 26, "The engine against floor and peers, medians of interleaved rounds", size=16, weight="bold"),
        *_legend({server for _, servers in groups for server in servers}),
    ]
    for index, panel in enumerate(PANELS):
        left = LABEL_WIDTH + index * (PANEL_WIDTH + PANEL_GAP)
        lines += _axis(left, bottom, panel)
        top = TOP
        for (results, servers), height in zip(groups, heights):
            lines += _group(left, top, results, servers, panel[0])
            top += height
    top = TOP
    for (results, _), height in zip(groups, heights):
        middle = top + (height - GROUP_GAP) / 2
        lines.append(_text(LABEL_WIDTH - 12, middle + 4, results.scenario.title, anchor="end"))
        top += height
    return "\n".join([*lines, "</svg>", ""])


def _legend(servers: set[str]) -> list[str]:
    lines, left = [], 12
    for server, colour in COLOURS.items():
        if server in servers:
            lines.append(f'<rect x="{left}" y="40" width="12" height="12" fill="{colour}"/>')
            lines.append(_text(left + 17, 51, server))
            left += 40 + 7 * len(server)
    return lines


def _axis(left: float, bottom: float, panel: tuple[str, str, str]) -> list[str]:
    _, title, hint = panel
    lines = [_text(left, TOP - 20, title, weight="bold"), _text(left, bottom + 34, hint, colour="#6b7280")]
    for tick, label in TICKS.items():
        x = left + _offset(tick)
        line = 'stroke="#111827" stroke-width="1.5"' if tick == 1 else 'stroke="#e5e7eb"'
        lines.append(f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}" {line}/>')
        lines.append(_text(x, bottom + 16, label, anchor="middle"))
    return lines


def _group(left: float, top: float, results: Results, servers: list[str], what: str) -> list[str]:
    lines = []
    for server in servers:
        ratio = results.ratio(server, what)
        if ratio is not None:
            one, end = left + _offset(1.0), left + _offset(ratio)
            begin, width = min(one, end), max(abs(end - one), 1.0)
            lines.append(
                f'<rect x="{begin:.1f}" y="{top}" width="{width:.1f}" height="{BAR_HEIGHT}" '
                f'fill="{COLOURS.get(server, "#374151")}"><title>{escape(server)}: {ratio:.2f}</title></rect>'
            )
            # Behind the bar's end, or beside the line of 1 where the bar points to the left and is long.
            x, anchor = (end + 4, "start") if ratio >= 1 else (end - 4, "end")
            lines.append(_text(x, top + BAR_HEIGHT - 3, f"{ratio:.2f}", anchor=anchor, size=11))
        top += BAR_HEIGHT + BAR_GAP
    return lines


def _offset(ratio: float) -> float:
    """Where a ratio lies in a panel: logarithmic, so that twice and half are equally far from 1."""
    clamped = min(max(ratio, RATIO_MIN), RATIO_MAX)
    return PANEL_WIDTH * math.log(clamped / RATIO_MIN) / math.log(RATIO_MAX / RATIO_MIN)


def _text(
    x: float,
    y: float,
    words: str,
    anchor: str = "start",
    size: int = 12,
    weight: str = "normal",
    colour: str = "#111827",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
        f'fill="{colour}">{escape(words)}</text>'
    )
