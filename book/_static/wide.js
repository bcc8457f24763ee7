// For readers without a mouse: what is wider than the page gets a shadow at its edge (custom.css) and can be scrolled by
// keyboard; the buttons that copy code and links that stand above already are no stops on the way.
(() => {
  const WIDE = ":is(pre, mjx-container, .printed-table, .pst-scrollable-table-container)";
  const isWide = box => getComputedStyle(box).overflowX !== "visible" && box.scrollWidth - box.clientWidth > 2;
  const look = () => { // first read, then write: the page is laid out once
    const boxes = [...document.querySelectorAll(`.bd-article ${WIDE}`)].map(box => [box, isWide(box)]);
    for (const [box, wide] of boxes) {
      box.classList.toggle("wide", wide);
      if (wide) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  // Code can be selected and copied by keyboard without a button, of which a page has dozens.
  const quiet = () => document.querySelectorAll("button.copybtn").forEach(button => { button.tabIndex = -1; });
  // The first link to a formula or a reference of this page is a stop, and the first to a chapter in each section.
  const once = () => {
    const seen = new Set();
    for (const link of document.querySelectorAll(".bd-article a.reference.internal")) {
      if (!link.checkVisibility({ visibilityProperty: true })) continue; // in a solution that is folded
      const to = link.getAttribute("href");
      const key = to.startsWith("#") ? to : `${link.closest("section")?.id} ${to}`;
      if (seen.has(key)) link.tabIndex = -1;
      seen.add(key);
    }
  };
  // The article changes its size with the window, with a sidebar that slides in or out, and with what is unfolded in it.
  const start = () => {
    const article = document.querySelector(".bd-article"); // the page of the search has none
    if (article) new ResizeObserver(look).observe(article);
    quiet();
    once();
  };
  window.addEventListener("load", () => (window.MathJax?.startup?.promise || Promise.resolve()).then(start));
})();
