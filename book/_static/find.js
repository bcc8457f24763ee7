// Search in the sections that the build wrote into sections.js: titles first, then text, each with the line that was found.
(() => {
  const MOST = 60, AROUND = 90;
  const plain = text => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const stems = word => word.length > 4 ? word.replace(/(ies|es|s)$/, "") : word;
  const wordsOf = query => plain(query).split(/[^\p{L}\p{N}_.-]+/u).filter(Boolean).map(stems);

  // A word counts where it begins a word.
  const places = (text, word) => {
    const found = [];
    for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
      if (!/[\p{L}\p{N}]/u.test(text[at - 1] || " ")) found.push(at);
    }
    return found;
  };

  const search = query => {
    const words = wordsOf(query), results = [];
    if (!words.length) return results;
    for (const [page, [pageTitle, sections]] of Object.entries(window.SECTIONS)) {
      for (const [anchor, title, text] of sections) {
        const heading = plain(title || pageTitle), body = plain(text);
        const named = words.map(word => places(heading, word).length), said = words.map(word => places(body, word));
        if (!words.every((_, i) => named[i] || said[i].length)) continue;
        const score = named.filter(Boolean).length / words.length * 100 + (title ? 0 : 5)
          + said.reduce((sum, found) => sum + Math.min(found.length, 5), 0) - (/^(references|exercises)$/i.test(title) ? 20 : 0);
        // The line where the words stand nearest together: begin at the place of the rarest.
        const rarest = said.filter(found => found.length).sort((a, b) => a.length - b.length)[0];
        results.push({ page, anchor, pageTitle, title, text, at: rarest ? rarest[0] : 0, words, score });
      }
    }
    return results.sort((a, b) => b.score - a.score || a.page.localeCompare(b.page));
  };

  const line = ({ text, at, words }) => {
    const from = at > AROUND ? text.indexOf(" ", at - AROUND) + 1 : 0, cut = text.slice(from, at + 2 * AROUND);
    const node = document.createElement("p"), low = plain(cut);
    node.className = "found-line";
    node.append(from ? "… " : "");
    let last = 0;
    const marks = words.flatMap(word => places(low, word).map(start => [start, word.length])).sort((a, b) => a[0] - b[0]);
    if (low.length === cut.length) for (const [start, length] of marks) {
      if (start < last) continue;
      const mark = document.createElement("mark");
      mark.textContent = cut.slice(start, start + length);
      node.append(cut.slice(last, start), mark);
      last = start + length;
    }
    node.append(cut.slice(last), at + 2 * AROUND < text.length ? " …" : "");
    return node;
  };

  Search.query = query => {
    const found = search(query), root = document.documentElement.dataset.content_root || "./";
    Search.stopPulse?.();
    document.getElementById("search-progress")?.replaceChildren();
    Search.title.textContent = "Search Results";
    Search.status.textContent = found.length ? `${found.length} sections${found.length > MOST ? `, the first ${MOST} of them` : ""}.`
      : "Nothing found. Every word must stand in one section: try fewer, or a part of a word.";
    Search.output.replaceChildren(...found.slice(0, MOST).map(result => {
      const item = document.createElement("li"), link = document.createElement("a");
      link.href = `${root}${result.page}.html${result.title ? `#${result.anchor}` : ""}`;
      link.textContent = result.title ? `${result.pageTitle} › ${result.title}` : result.pageTitle;
      item.append(link, line(result));
      return item;
    }));
  };
})();
