"""Tables, JSON and an SVG chart of the medians."""
import html
import json
import statistics

colours = {"tidegate": "#0f766e", "tidegate-power": "#5eead4", "nginx": "#64748b", "haproxy": "#b45309"}


def medians(runs):
    """{case: {relay: {measure: median over the rounds}}} of {case: {relay: [{measure: value}]}}."""
    return {case: {relay: {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
                   for relay, rounds in relays.items()}
            for case, relays in runs.items()}


def ratio(median, case, key, relay="tidegate", base="nginx"):
    try:
        return median[case][relay][key] / median[case][base][key]
    except KeyError:
        return None


def markdown(result):
    """One table a question."""
    median, memory = result["medians"], result["memory"]
    out = []
    out += ["| case | relay | requests/s | per CPU second | µs user | µs system | p50 ms | p99 ms | p50 added | p99 added |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for case, relays in median.items():
        direct = relays.get("direct")
        for relay, m in relays.items():
            cpu = [f"{m[k]:,.{places}f}" if k in m else "–" for k, places in
                   (("requests_per_cpu_second", 0), ("user_us_per_request", 1), ("system_us_per_request", 1))]
            added = [f"{m[k] - direct[k]:.3f}" if direct and relay != "direct" else "–" for k in ("p50_ms", "p99_ms")]
            out.append(f"| {case} | {relay} | {m['requests_per_second']:,.0f} | {' | '.join(cpu)} | {m['p50_ms']:.3f} | "
                       f"{m['p99_ms']:.3f} | {' | '.join(added)} |")
    streams = {case: r for case, r in median.items() if any("events_per_second" in m for m in r.values())}
    if streams:
        out += ["", "| case | relay | events/s | per CPU second | first event p50 ms | p99 ms |",
                "| --- | --- | ---: | ---: | ---: | ---: |"]
        for case, relays in streams.items():
            for relay, m in relays.items():
                per_cpu = f"{m['events_per_cpu_second']:,.0f}" if "events_per_cpu_second" in m else "–"
                out.append(f"| {case} | {relay} | {m['events_per_second']:,.0f} | {per_cpu} | "
                           f"{m['first_event_p50_ms']:.3f} | {m['first_event_p99_ms']:.3f} |")
    if memory:
        out += ["", "| relay | KiB per idle connection | KiB per open stream |", "| --- | ---: | ---: |"]
        out += [f"| {relay} | {m['idle_kib']:.1f} | {m['stream_kib']:.1f} |" for relay, m in memory.items()]
    ratios = ratio_lines(median)
    if ratios:
        out += ["", "| tidegate ÷ nginx, same run | ratio |", "| --- | ---: |", *ratios]
    return "\n".join(out) + "\n"


def ratio_lines(median):
    out = []
    for case in median:
        key = "events_per_cpu_second" if "stream" in case else "requests_per_cpu_second"
        found = ratio(median, case, key)
        if found is not None:
            out.append(f"| {case}: {'events' if 'stream' in case else 'requests'} per CPU second | {found:.2f} |")
    return out


def panels(result):
    median = result["medians"]
    wanted = [("1 KB, 64 connections", "requests_per_cpu_second", "requests per CPU second, 1 KB, 64 connections"),
              ("32 KB, 64 connections", "requests_per_cpu_second", "requests per CPU second, 32 KB, 64 connections"),
              ("streams in bursts, 64 connections", "events_per_cpu_second", "chunks per CPU second, bursts, 64 streams"),
              ("streams of a chunk a millisecond, 64 connections", "events_per_cpu_second",
               "chunks per CPU second, one a millisecond, 64 streams")]
    found = []
    for case, key, title in wanted:
        values = {relay: m[key] for relay, m in median.get(case, {}).items() if key in m}
        if values:
            found.append((title, values, "{:,.0f}"))
    for key, title in (("idle_kib", "KiB per idle connection"), ("stream_kib", "KiB per open stream")):
        if result["memory"]:
            found.append((title, {relay: m[key] for relay, m in result["memory"].items()}, "{:.1f}"))
    return found


def svg(result):
    """Horizontal bars, one panel a measure, two panels a row."""
    width, row, pad, label, bars = 440, 26, 24, 76, 250
    drawn = panels(result)
    height = max((len(values) for _, values, _ in drawn), default=1) * row + 56
    rows = (len(drawn) + 1) // 2
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * width}" height="{rows * height + 40}" '
           f'font-family="system-ui, sans-serif" font-size="13">',
           '<rect width="100%" height="100%" fill="#ffffff"/>',
           f'<text x="{pad}" y="{rows * height + 24}" fill="#64748b">{html.escape(caption(result))}</text>']
    for index, (title, values, form) in enumerate(drawn):
        left, top = index % 2 * width + pad, index // 2 * height + 16
        out.append(f'<text x="{left}" y="{top + 14}" font-weight="600" fill="#0f172a">{html.escape(title)}</text>')
        longest = max(values.values()) or 1
        for place, (relay, value) in enumerate(values.items()):
            y = top + 28 + place * row
            bar = max(1.0, max(value, 0) / longest * bars)
            out.append(f'<text x="{left}" y="{y + 14}" fill="#334155">{relay}</text>')
            out.append(f'<rect x="{left + label}" y="{y}" width="{bar:.1f}" height="{row - 8}" rx="2" '
                       f'fill="{colours.get(relay, "#94a3b8")}"/>')
            out.append(f'<text x="{left + label + bar + 6:.1f}" y="{y + 14}" fill="#0f172a">{form.format(value)}</text>')
    return "\n".join(out) + "\n</svg>\n"


def caption(result):
    e = result["environment"]
    ahead = ", ahead of other work" if e["realtime"] else ""
    return (f"{e['processor']}, {e['cores']} cores, Linux {e['kernel']}, {e['date']}; medians of {e['rounds']} "
            f"interleaved rounds of {e['seconds']:g} s a case{ahead}")


def publish(result, folder, page):
    """Writes the JSON, the chart, and the marked part of docs/PERFORMANCE.md."""
    (folder / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    (page.parent / "relay.svg").write_text(svg(result))
    begin, end = "<!-- relay: begin -->\n", "<!-- relay: end -->\n"
    text = page.read_text()
    before, _, rest = text.partition(begin)
    _, marked, after = rest.partition(end)
    if not marked:
        raise SystemExit(f"relay: {page} has no place for the results")
    versions = "; ".join(result["environment"]["versions"].values())
    body = f"{caption(result)}. Load average at the start {result['environment']['load_average']}. {versions}.\n\n"
    page.write_text(before + begin + body + markdown(result) + end + after)
