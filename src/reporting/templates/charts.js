// Draws every chart; colours named var(--x) in a specification are taken from the page, again when its theme changes.
(function () {
  "use strict";
  const AXIS_PX = 100, ENTRY_PX = 190, SYMBOL_PX = 40;
  const specs = JSON.parse(document.getElementById("chart-specs").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function resolve(value, styles) {
    if (Array.isArray(value)) return value.map((item) => resolve(item, styles));
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolve(item, styles)]));
    }
    const named = typeof value === "string" && /^var\((--[a-z]+)\)$/.exec(value);
    return named ? styles.getPropertyValue(named[1]).trim() : value;
  }

  const config = {
    background: "transparent",
    font: "system-ui, sans-serif",
    view: { stroke: null },
    text: { color: "var(--ink)" },
    axis: {
      labelColor: "var(--muted)", titleColor: "var(--ink)", titleFontWeight: 500, titleFontSize: 12, labelFontSize: 11,
      gridColor: "var(--line)", domainColor: "var(--line)", tickColor: "var(--line)", labelOverlap: true, labelSeparation: 6, titlePadding: 8,
    },
    axisX: { tickCount: 6 },
    axisY: { tickCount: 5 },
    legend: { labelColor: "var(--ink)", titleColor: "var(--ink)", labelFontSize: 12, symbolStrokeWidth: 3 },
  };

  // As many legend entries side by side as there is room beside the axis, the others below; long ones are shortened.
  function fitted(plot) {
    const room = plot.clientWidth - AXIS_PX;
    const columns = Math.max(1, Math.floor(room / ENTRY_PX));
    const labelLimit = Math.floor(room / columns) - SYMBOL_PX;
    return { ...config, legend: { ...config.legend, columns, labelLimit } };
  }

  // A mark that stands for a variant or a prompt shows its pictures, which are elsewhere on the page.
  function show(plot, datum) {
    const pictures = [...document.querySelectorAll("[data-shows]")];
    const wanted = pictures.find((element) => [datum.name, datum.prompt].includes(element.dataset.shows));
    if (!wanted) return;
    const copy = wanted.cloneNode(true);
    copy.removeAttribute("data-shows");
    copy.classList.add("picked");
    plot.parentElement.querySelector(".picked")?.remove();
    plot.after(copy);
  }

  function draw(names) {
    const styles = getComputedStyle(document.documentElement);
    for (const name of names) {
      const plot = document.getElementById("chart-" + name);
      // a chart has no width while it is folded away; it is drawn when it is unfolded
      if (!plot.clientWidth) continue;
      vegaEmbed(plot, resolve(specs[name], styles), {
        mode: "vega-lite", renderer: "svg", actions: false, config: resolve(fitted(plot), styles),
        // expressions are interpreted and no style sheet is added: the page's policy allows neither eval nor strangers
        ast: true, defaultStyle: false, tooltip: { disableDefaultStyle: true },
      }).then((chart) => {
        chart.view.addEventListener("click", (event, item) => { if (item && item.datum) show(plot, item.datum); });
      });
    }
  }

  const all = Object.keys(specs);
  draw(all);
  dark.addEventListener("change", () => draw(all));
  for (const fold of document.querySelectorAll("details")) {
    const within = all.filter((name) => fold.contains(document.getElementById("chart-" + name)));
    if (within.length) fold.addEventListener("toggle", () => { if (fold.open) draw(within); });
  }
})();
