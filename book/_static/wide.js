// What is wider than the page fades at the edge behind which there is more (custom.css), and can be scrolled by keyboard; the buttons that copy code and links that stand above already are no stops on the way.
(() => {
  const WIDE = ":is(pre, mjx-container, .printed-table, .pst-scrollable-table-container, .chapter-map, .figure-scroll)";
  const isWide = box => getComputedStyle(box).overflowX !== "visible" && box.scrollWidth - box.clientWidth > 2;
  const edges = box => {
    const left = box.scrollLeft > 2, right = box.scrollLeft + box.clientWidth < box.scrollWidth - 2;
    box.classList.toggle("more-left", left);
    box.classList.toggle("more-right", right);
  };
  const look = () => { // first read, then write: the page is laid out once
    const boxes = [...document.querySelectorAll(`.bd-article ${WIDE}`)].map(box => [box, isWide(box)]);
    for (const [box, wide] of boxes) {
      box.classList.toggle("wide", wide);
      if (wide) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
      box.onscroll = wide ? () => edges(box) : null;
    }
    for (const [box, wide] of boxes) {
      if (wide) edges(box);
      else box.classList.remove("more-left", "more-right");
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
