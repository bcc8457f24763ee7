// For readers without a mouse: what is wider than the page gets a shadow at its edge (custom.css) and can be scrolled by
// keyboard; the buttons that copy code and links that stand above already are no stops on the way.
(() => {
  const WIDE = ":is(pre, mjx-container, .printed-table, .pst-scrollable-table-container)";
  const look = () => document.querySelectorAll(`.bd-article ${WIDE}`).forEach(box => {
    const wide = getComputedStyle(box).overflowX !== "visible" && box.scrollWidth - box.clientWidth > 2;
    box.classList.toggle("wide", wide);
    if (wide) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  });
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
  const start = () => { look(); quiet(); once(); window.addEventListener("resize", look); };
  window.addEventListener("load", () => (window.MathJax?.startup?.promise || Promise.resolve()).then(start));
})();
