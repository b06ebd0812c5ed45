"use strict";
const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 700px)");
const touched = matchMedia("(pointer: coarse)");

function config() {
  return {
    responsive: true,
    // Not plotly's own list, which has a button that uploads the figure.
    modeBarButtons: [["toImage", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
    displaylogo: false,
    displayModeBar: narrow.matches ? false : "hover",
    plotlyServerURL: "",
  };
}

function merged(into, patch) {
  for (const [key, value] of Object.entries(patch)) {
    const isTable = value && typeof value === "object" && !Array.isArray(value);
    into[key] = isTable ? merged(into[key] ?? {}, value) : value;
  }
  return into;
}

function theme() {
  const [ink, grid, hover] = dark.matches
    ? ["#e4e6e9", "#363b41", "#1f2226"] : ["#1c1e21", "#d9dce0", "#ffffff"];
  const title = { standoff: 6, font: { size: narrow.matches ? 11 : 13 } };
  const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: grid, automargin: true, title };
  return { template: { layout: {
    font: { color: ink, family: "system-ui, sans-serif", size: narrow.matches ? 11 : 13 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", xaxis: axis, yaxis: axis,
    hoverlabel: { bgcolor: hover, bordercolor: grid, font: { color: ink } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: ink },
    // A finger scrolls the page.
    dragmode: touched.matches ? false : "zoom",
    uirevision: 1,
  } } };
}

function read(plot) {
  const { data, layout } = JSON.parse(plot.nextElementSibling.textContent);
  const size = layout.meta[narrow.matches ? "narrow" : "wide"];
  plot.style.minHeight = `${size.height}px`;
  return { data, layout, size };
}

function draw(plot) {
  const { data, layout, size } = read(plot);
  for (const trace of data) {
    // Numbers in cells: of more classes they are wider than the cells of a narrow screen.
    if (narrow.matches && trace.mode === "text" && layout.xaxis.categoryarray.length > 10) trace.visible = false;
  }
  if (dark.matches) (layout.meta.dark ?? []).forEach((patch, index) => merged(data[index], patch));
  for (const note of layout.annotations ?? []) {
    if (note.name === "node") note.bgcolor = dark.matches ? "#15171a" : "#ffffff";
  }
  Plotly.react(plot, data, merged(merged(layout, size), theme()), config());
}

// A page of many studies draws a figure when it comes near.
const drawn = new Set();
const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    drawn.add(target);
    draw(target);
  }
}, { rootMargin: "1000px" });
const plots = [...document.querySelectorAll(".plot")];
for (const plot of plots) {
  read(plot);
  near.observe(plot);
}
for (const query of [dark, narrow]) {
  query.addEventListener("change", () => plots.forEach((plot) => (drawn.has(plot) ? draw : read)(plot)));
}

// A table that is wider than the page says so: phones show no scroll bars.
function hint(scroll) {
  const left = scroll.scrollWidth - scroll.clientWidth - scroll.scrollLeft;
  scroll.classList.toggle("more", left > 1);
  scroll.previousElementSibling.hidden = scroll.scrollWidth <= scroll.clientWidth + 1;
}
const resized = new ResizeObserver((entries) => entries.forEach(({ target }) => hint(target)));
for (const scroll of document.querySelectorAll(".scroll")) {
  scroll.addEventListener("scroll", () => hint(scroll), { passive: true });
  resized.observe(scroll);
}
