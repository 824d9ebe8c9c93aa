// Tables that are wider than the paper get smaller letters, and broken words only where that is not enough.
(() => {
  "use strict";

  const SMALLEST = 5; // points
  const STEP = 0.25;

  const fit = (table) => {
    const room = document.body.getBoundingClientRect().right + 0.5;
    const wide = () => table.getBoundingClientRect().right > room;
    let size = parseFloat(getComputedStyle(table).fontSize) * 0.75; // pixels to points
    while (wide() && size > SMALLEST) {
      size -= STEP;
      table.style.fontSize = `${size}pt`;
    }
    table.classList.toggle("too-wide", wide());
  };

  addEventListener("load", () => document.querySelectorAll("table").forEach(fit));
})();
