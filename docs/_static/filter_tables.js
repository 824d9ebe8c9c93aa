// Tables within an element of the class "filterable": a field and menus to choose rows with, and headings that sort.
// Without scripts they are plain tables.
(() => {
  "use strict";

  const MOST_CHOICES = 20; // a menu with more is no help

  const made = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const textOf = (row, column) => row.cells[column].textContent.trim();
  const numberOf = (text) => {
    const found = /\d[\d,]*(\.\d+)?/.exec(text);
    return found ? Number(found[0].replaceAll(",", "")) : NaN;
  };
  const isNumeric = (texts) => texts.filter(Boolean).every((text) => /^\W*(ours: |published: )?\d/.test(text));

  function bring(box) {
    const table = box.querySelector("table");
    if (!table?.tHead || !table.tBodies.length) return;
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const headings = [...table.tHead.rows[0].cells];
    const titles = headings.map((cell) => cell.textContent.trim());

    const field = made("input", { type: "search" });
    const menus = new Map();
    titles.forEach((title, column) => {
      const texts = rows.map((row) => textOf(row, column));
      const choices = [...new Set(texts)].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
      const words = choices.filter((choice) => !/^[\d,.]+%?( \(.*\))?$/.test(choice)).length > choices.length / 2;
      if (words && choices.length > 1 && choices.length <= MOST_CHOICES && choices.length < rows.length / 2) {
        const menu = made("select", {}, made("option", { value: "*", textContent: "all" }));
        choices.forEach((choice) => menu.append(made("option", { value: choice, textContent: choice || "none" })));
        menus.set(column, menu);
      }
    });
    const status = made("span", { className: "filter-status" });
    status.setAttribute("role", "status");
    const again = made("button", { type: "button", textContent: "Show all" });

    const show = () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row) => {
        const text = row.textContent.toLowerCase();
        const chosen = [...menus].every(([column, menu]) => menu.value === "*" || menu.value === textOf(row, column));
        row.hidden = !(chosen && words.every((word) => text.includes(word)));
        shown += !row.hidden;
      });
      status.textContent = `${shown} of ${rows.length} rows`;
      again.disabled = shown === rows.length;
    };

    const sorted = (column, direction) => {
      const numeric = isNumeric(rows.map((row) => textOf(row, column)));
      const order = [...rows].sort((one, other) => {
        const [a, b] = [textOf(one, column), textOf(other, column)];
        const [x, y] = [numberOf(a), numberOf(b)];
        if (numeric && Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1; // empty ones last
        return direction * (numeric ? x - y : a.localeCompare(b, "en", { numeric: true }));
      });
      body.append(...order);
      headings.forEach((cell, index) => {
        if (index === column) cell.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
        else cell.removeAttribute("aria-sort");
      });
    };
    headings.forEach((cell, column) => {
      const button = made("button", { type: "button", className: "filter-sort", title: "Sort by this column" });
      button.append(...cell.childNodes);
      button.addEventListener("click", () => sorted(column, cell.getAttribute("aria-sort") === "ascending" ? -1 : 1));
      cell.append(button);
    });

    field.addEventListener("input", show);
    menus.forEach((menu) => menu.addEventListener("change", show));
    again.addEventListener("click", () => {
      field.value = "";
      menus.forEach((menu) => (menu.value = "*"));
      show();
      field.focus();
    });
    const labels = [...menus].map(([column, menu]) => made("label", {}, `${titles[column]} `, menu));
    const controls = [made("label", {}, "rows with ", field), ...labels, again, status];
    let above = table; // or what is around it
    while (above.parentElement !== box) above = above.parentElement;
    above.before(made("div", { className: "filter-controls" }, ...controls));
    show();
  }

  const start = () => document.querySelectorAll(".filterable").forEach(bring);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
