"use strict";
// Draws the figures of the page when they come into sight, in the colours of the style sheet.
(() => {
  const source = document.getElementById("figures");
  const figures = JSON.parse(source.textContent);
  source.remove();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const narrow = () => innerWidth < 640;
  const drawn = new Set();

  function webgl() {
    try {
      const context = document.createElement("canvas").getContext("webgl");
      if (context) context.getExtension("WEBGL_lose_context")?.loseContext();
      return Boolean(context);
    } catch { return false; }
  }
  const hasWebgl = webgl();

  function coloured(value, style) {
    if (typeof value === "string") {
      const name = /^var\((--[a-z0-9]+)\)$/.exec(value);
      return name ? style.getPropertyValue(name[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.map((v) => coloured(v, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, coloured(v, style)]));
    }
    return value;
  }

  function axis(given, style) {
    const base = {
      gridcolor: style.getPropertyValue("--grid").trim(), zeroline: false, automargin: true,
      linecolor: style.getPropertyValue("--line").trim(), showline: true, fixedrange: touch,
      tickfont: { size: narrow() ? 10 : 11 }, ticks: "",
    };
    const title = given.title
      ? { ...given.title, standoff: 8, font: { size: narrow() ? 11 : 12 } } : undefined;
    return { ...base, ...given, ...(title ? { title } : {}) };
  }

  function layoutOf(spec, style) {
    const ink = style.getPropertyValue("--ink").trim();
    const soft = style.getPropertyValue("--soft").trim();
    const card = style.getPropertyValue("--card").trim();
    const given = coloured(spec.layout, style);
    const layout = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12, color: soft },
      margin: { l: 50, r: 12, t: 12, b: 42 }, autosize: true, dragmode: touch ? false : "zoom",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink },
      hoverlabel: { bgcolor: card, bordercolor: soft, font: { color: ink, size: 12 } },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, xanchor: "left", font: { size: 11 }, itemwidth: 30 },
      ...given,
    };
    for (const key of Object.keys(layout)) {
      if (/^[xy]axis/.test(key)) layout[key] = axis(layout[key], style);
    }
    return layout;
  }

  function numbers(packed) {
    if (Array.isArray(packed)) return packed;
    const bytes = Uint8Array.from(atob(packed.bdata), (c) => c.charCodeAt(0));
    return Array.from(new (packed.dtype === "i4" ? Int32Array : Float32Array)(bytes.buffer));
  }

  // Without WebGL the same lines are drawn as shapes, in five shades, without brushing.
  function plainParallel(trace) {
    const axes = trace.dimensions.map((d) => ({ ...d, values: numbers(d.values) }));
    const colour = numbers(trace.line.color);
    const { cmin, cmax } = trace.line;
    const place = (d, v) => (v - d.range[0]) / (d.range[1] - d.range[0]);
    const shades = [4, 3, 2, 1, 0].map((k) => ({
      type: "scatter", mode: "lines", x: [], y: [], hoverinfo: "skip", showlegend: false,
      line: { color: trace.line.colorscale[k][1], width: k ? 1 : 2 }, opacity: k ? 0.6 : 1,
    }));
    colour.forEach((value, trial) => {
      const share = Math.min(1, Math.max(0, (value - cmin) / (cmax - cmin)));
      const line = shades[4 - Math.min(4, Math.floor(share * 5))];
      axes.forEach((d, k) => { line.x.push(k); line.y.push(place(d, d.values[trial])); });
      line.x.push(null); line.y.push(null);
    });
    const layout = {
      xaxis: { tickvals: axes.map((_, k) => k), ticktext: axes.map((d) => d.label), tickangle: -18, side: "top", zeroline: false },
      yaxis: { visible: false, range: [-0.03, 1.03] }, margin: { t: 84, b: 24, l: 100, r: 50 },
    };
    return { data: shades, layout };
  }

  function specOf(key) {
    const spec = figures[key];
    if (hasWebgl) return spec;
    if (spec.data[0]?.type === "parcoords") return plainParallel(spec.data[0]);
    return { ...spec, data: spec.data.map((t) => (t.type === "scattergl" ? { ...t, type: "scatter" } : t)) };
  }

  function draw(div) {
    const style = getComputedStyle(document.documentElement);
    const spec = specOf(div.id);
    const data = coloured(spec.data, style);
    const layout = layoutOf(spec, style);
    if (data[0]?.type === "parcoords") {
      const ink = style.getPropertyValue("--ink").trim();
      Object.assign(data[0], {
        labelfont: { size: 12, color: ink }, tickfont: { size: 10, color: style.getPropertyValue("--soft").trim() },
        rangefont: { size: 1, color: "rgba(0,0,0,0)" },
        unselected: { line: { color: style.getPropertyValue("--line").trim(), opacity: 0.25 } },
      });
    }
    const config = {
      displaylogo: false, responsive: true, scrollZoom: false, displayModeBar: touch ? false : "hover",
      modeBarButtons: [["toImage", "resetScale2d"]], // and none that sends the chart anywhere
    };
    drawn.add(div);
    Plotly.react(div, data, layout, config);
    if (figures[div.id].layout.meta?.drawings && !div.dataset.drawings) showDrawings(div);
  }

  function showDrawings(div) {
    div.dataset.drawings = "yes";
    const sheet = document.getElementById("sprites");
    const box = document.getElementById("drawing");
    const columns = Number(sheet.dataset.columns);
    const picture = box.querySelector("i");
    const rows = sheet.naturalHeight / (sheet.naturalWidth / columns);
    picture.style.backgroundImage = `url(${sheet.src})`;
    picture.style.backgroundSize = `${96 * columns}px ${96 * rows}px`;
    div.on("plotly_hover", ({ points, event }) => {
      const [place, name] = points[0].customdata;
      picture.style.backgroundPosition = `${-96 * (place % columns)}px ${-96 * Math.floor(place / columns)}px`;
      box.querySelector("span").textContent = name;
      box.hidden = false;
      const x = event.clientX + 16, y = event.clientY + 16;
      box.style.left = `${Math.max(4, Math.min(x, innerWidth - box.offsetWidth - 8))}px`;
      box.style.top = `${y + box.offsetHeight > innerHeight - 8 ? event.clientY - box.offsetHeight - 12 : y}px`;
    });
    div.on("plotly_unhover", () => { box.hidden = true; });
    addEventListener("scroll", () => { box.hidden = true; }, { passive: true });
  }

  const plots = [...document.querySelectorAll(".plot")];
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting && !drawn.has(entry.target)) draw(entry.target);
    }
  }, { rootMargin: "600px 0px" });
  plots.forEach((div) => watcher.observe(div));
  dark.addEventListener("change", () => drawn.forEach((div) => draw(div)));
  addEventListener("beforeprint", () => plots.forEach((div) => { if (div.checkVisibility() && !drawn.has(div)) draw(div); }));
})();
