// What a search lists first: notebooks, which explain, before pages, before the reference.
var Scorer = {
  score: ([page, title, anchor, description, score]) =>
    score + (page.startsWith("notebooks/") ? 200 : page.startsWith("reference/") ? 0 : 100),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: {0: 15, 1: 5, 2: -5},
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
