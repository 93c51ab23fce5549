// What a container of Matomo's Tag Manager does for a Matomo tag that tracks page views: it
// configures a tracker by _paq, and brings matomo.js with it.
(function () {
  if (!(window._mtm || []).some(entry => entry.event === 'mtm.Start')) return;
  var _paq = window._paq = window._paq || [];
  _paq.push(['disableCookies']);
  _paq.push(['setTrackerUrl', 'MATOMO/matomo.php']);
  _paq.push(['setSiteId', 'SITE']);
  _paq.push(['setCustomDimension', 1, 'reader']);
  _paq.push(['trackPageView']);
  var script = document.createElement('script');
  script.async = true;
  script.src = 'MATOMO/matomo.js';
  document.head.append(script);
})();
