// Before the first paint: the theme this browser chose.
(function () {
  try {
    var theme = localStorage.getItem('dodai-theme');
    if (theme) document.documentElement.dataset.theme = theme;
  } catch (e) { /* no storage: the system's theme */ }
})();
