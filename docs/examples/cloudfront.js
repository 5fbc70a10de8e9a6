// Functions for Amazon CloudFront (runtime cloudfront-js-2.0) in front of a mirror in a bucket.

var JSON_PAGE = /application\/vnd\.pypi\.simple\.(v1|latest)\+json/i;
var HTML_PAGE = /application\/vnd\.pypi\.simple\.(v1|latest)\+html/i;
var PAGE = /^\/simple(?:\/([^/]+))?(\/?)$/;

// The name of a project as PEP 503 normalises it.
function normalised(name) {
  return name.toLowerCase().replace(/[-_.]+/g, '-');
}

function redirect(path) {
  return {
    statusCode: 301,
    statusDescription: 'Moved Permanently',
    headers: { location: { value: path }, 'cache-control': { value: 'public, max-age=86400' } }
  };
}

// Event "viewer request": replaces the path of a page by the key of the format that is accepted.
function handler(event) {
  var request = event.request;
  var found = PAGE.exec(request.uri);
  if (!found) {
    return request;
  }
  var path = found[1] ? '/simple/' + normalised(found[1]) + '/' : '/simple/';
  if (path !== request.uri) {
    return redirect(path);
  }
  var accept = request.headers.accept ? request.headers.accept.value : '';
  if (JSON_PAGE.test(accept)) {
    request.uri = path + 'index.v1_json';
  } else if (HTML_PAGE.test(accept)) {
    request.uri = path + 'index.v1_html';
  } else {
    request.uri = path + 'index.html';
  }
  return request;
}

// Event "viewer response": tells caches of clients that the answer depends on their header.
function vary(event) {
  if (/^\/simple\//.test(event.request.uri)) {
    event.response.headers.vary = { value: 'Accept, Accept-Encoding' };
  }
  return event.response;
}
