"""What to do about findings, with the lines to change in the configuration of a web server.

``bandersnatch webserver-config`` prints complete configurations, of which these lines are parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

_JSON = "application/vnd.pypi.simple.v1+json"
_HTML = "application/vnd.pypi.simple.v1+html"


class Remedy(Struct, frozen=True):
    """What to do: a sentence, and lines by the name of a web server."""

    advice: str
    lines: Mapping[str, tuple[str, ...]] = {}


def server_kind(name: str) -> str:
    """Return the key of ``Remedy.lines`` for a ``Server`` header, "" for any other server."""
    text = name.lower()
    return next((kind for kind in ("nginx", "apache", "caddy") if kind in text), "")


def _remedy(advice: str, nginx: str = "", apache: str = "", caddy: str = "") -> Remedy:
    texts = {"nginx": nginx, "apache": apache, "caddy": caddy}
    return Remedy(advice, {kind: tuple(text.splitlines()) for kind, text in texts.items() if text})


_SERVER = {
    "https": _remedy(
        "serve it over HTTPS: pip uses no other index than an https one, unless trusted-host names "
        "it, and caches nothing that it gets over http; for serve set tls-certificate in [serve]",
        "listen 443 ssl;\nssl_certificate /etc/ssl/mirror.example.org/fullchain.pem;\n"
        "ssl_certificate_key /etc/ssl/mirror.example.org/privkey.pem;",
        "SSLEngine on\nSSLCertificateFile /etc/ssl/mirror.example.org/fullchain.pem\n"
        "SSLCertificateKeyFile /etc/ssl/mirror.example.org/privkey.pem",
        "https://mirror.example.org {",
    ),
    "chain": _remedy(
        "send the intermediate certificates with that of the server; if the authority is your own, "
        "clients need its certificate: global.cert of pip, SSL_CERT_FILE for uv and this command",
        "ssl_certificate /etc/ssl/mirror.example.org/fullchain.pem;",
        "SSLCertificateFile /etc/ssl/mirror.example.org/fullchain.pem",
        "tls /etc/ssl/mirror.example.org/fullchain.pem /etc/ssl/mirror.example.org/privkey.pem",
    ),
    "authority": _remedy(
        "use a certificate of a public authority, or give all clients the certificate of your own: "
        "global.cert of pip, SSL_CERT_FILE for uv and this command"
    ),
    "renew": _remedy("renew the certificate, and let the server read it again"),
    "certificate": _remedy("get a certificate that is valid for the name in the URL"),
    "clock": _remedy("let both machines set their clocks by the network: timedatectl set-ntp true"),
    "answer": _remedy("the log of the server says why"),
    "forbidden": _remedy(
        "let everybody who may install from it read the pages and files: the server needs the "
        "right to read them",
        "location /simple/ { allow all; }",
        "Require all granted",
    ),
}

_FORMATS = {
    "negotiation": _remedy(
        "select the page by the Accept header; bandersnatch webserver-config prints all lines",
        "map $http_accept $bandersnatch_page {\n    default index.html;\n"
        '    "~*application/vnd\\.pypi\\.simple\\.(v1|latest)\\+json" index.v1_json;\n'
        '    "~*application/vnd\\.pypi\\.simple\\.(v1|latest)\\+html" index.v1_html;\n}\n'
        "try_files /simple/$project/$bandersnatch_page =404;",
        "RewriteCond %{HTTP_ACCEPT} application/vnd\\.pypi\\.simple\\.(v1|latest)\\+json\n"
        "RewriteRule ^/simple/([a-z0-9-]+)/$ %{DOCUMENT_ROOT}/simple/$1/index.v1_json [L]",
        "@json header_regexp Accept application/vnd\\.pypi\\.simple\\.(v1|latest)\\+json\n"
        "rewrite @json {path}index.v1_json",
    ),
    "formats": _remedy("publish both formats: simple-format = ALL in [mirror]"),
    "quality": _remedy("bandersnatch serve compares the quality values; pip and uv do without"),
    "types": _remedy(
        "send the media types of PEP 691; pip and uv ignore or refuse pages of any other type",
        f"types {{\n    {_JSON} v1_json;\n    {_HTML} v1_html;\n    text/html html;\n}}",
        f"AddType {_JSON} .v1_json\nAddType {_HTML} .v1_html",
        f"header @json Content-Type {_JSON}",
    ),
    "vary": _remedy(
        "tell caches that pages depend on the Accept header",
        "add_header Vary Accept always;",
        "Header always merge Vary Accept",
        "header /simple/* Vary Accept",
    ),
    "cache key": _remedy(
        "make the format a part of the cache's key, or let the cache honour Vary",
        'proxy_cache_key "$uri $bandersnatch_page";',
        "# mod_cache honours Vary: remove CacheIgnoreHeaders Vary",
    ),
    "page": _remedy(
        "publish the page again: bandersnatch mirror --force-check; any other index needs a newer "
        "release of its software"
    ),
    "api 1.4": _remedy(
        "a mirror by bandersnatch has what its index states; use an index with version 1.4 of the "
        "API (PEP 700, PEP 792) as master"
    ),
}

_HTTP = {
    "page age": _remedy(
        "let clients ask for pages again after some minutes",
        'add_header Cache-Control "public, max-age=600";',
        'Header set Cache-Control "public, max-age=600"',
        'header /simple/* Cache-Control "public, max-age=600"',
    ),
    "file age": _remedy(
        "files never change; let clients and caches keep them",
        'add_header Cache-Control "public, max-age=31536000, immutable";',
        'Header set Cache-Control "public, max-age=31536000, immutable"',
        'header /packages/* Cache-Control "public, max-age=31536000, immutable"',
    ),
    "error age": _remedy(
        "do not let clients keep answers that there is nothing",
        "# remove `always` from add_header Cache-Control",
        "# use Header set in place of Header always set",
        "handle_errors {\n    header Cache-Control no-cache\n}",
    ),
    "weak tag": _remedy(
        "do not compress pages on the way, which makes the ETag weak",
        "gzip off;",
        "RewriteRule ^ - [E=no-gzip:1]",
        "# remove `encode`, and the proxy that compresses",
    ),
    "tag": _remedy(
        "send an ETag with each page, so that clients fetch only what has changed",
        "etag on;",
        "FileETag MTime Size",
    ),
    "condition": _remedy(
        "answer requests with If-None-Match by 304 if, and only if, the ETag is that of the page; "
        "a proxy or a module must not change one of the two",
        "proxy_set_header If-None-Match $http_if_none_match;\ngzip off;",
        "RewriteRule ^ - [E=no-gzip:1]",
    ),
    "encoding vary": _remedy(
        "tell caches that pages depend on the Accept-Encoding header, or compress nothing",
        "gzip_vary on;",
        "Header append Vary Accept-Encoding",
    ),
    "compress": _remedy(
        "bandersnatch serve compresses pages and keeps their ETags strong; with other servers "
        "leave it as it is"
    ),
    "encoding": _remedy(
        "compress only for clients that ask for it, and send what was compressed as it is",
        "gzip off;",
        "RewriteRule ^ - [E=no-gzip:1]",
    ),
    "file encoding": _remedy(
        "send files as they are: a client would unpack an archive and find another digest",
        "location /packages/ {\n    gzip off;\n    types { }\n"
        "    default_type application/octet-stream;\n}",
        "RemoveEncoding .gz .tgz .Z .bz2 .xz",
        "# leave /packages/* out of `encode`",
    ),
}

_PATHS = {
    "redirect": _remedy(
        "redirect to a path and not to a URL, which a proxy in front makes wrong",
        "absolute_redirect off;",
        "RewriteRule ^/simple((?:/[a-z0-9-]+)?)$ /simple$1/ [R=301,L]",
        "redir @unslashed /simple{re.unslashed.1}/ 301",
    ),
    "slash": _remedy(
        "redirect to the path with a slash at its end; pip and uv ask for that by themselves",
        "location = /simple { return 301 /simple/; }\n"
        "location ~ ^/simple/(?<project>[a-z0-9-]+)$ { return 301 /simple/$project/; }",
        "RewriteRule ^/simple((?:/[a-z0-9-]+)?)$ /simple$1/ [R=301,L]",
        "redir @unslashed /simple{re.unslashed.1}/ 301",
    ),
    "spelling": _remedy(
        "bandersnatch serve redirects other spellings; pip and uv ask for the normalised name"
    ),
    "404": _remedy(
        "answer 404 for a project that is not there, so that uv goes on to the next index; "
        "an object storage answers 403 until its reader may list the bucket",
        "try_files /simple/$project/$bandersnatch_page =404;\nerror_page 403 =404 /404.html;",
        "RewriteRule ^ - [R=404,L]",
        "error @other 404",
    ),
    "root": _remedy(
        "serve the root page at the URL that clients use as their index; search tools and mirrors "
        "of this mirror need it",
        "location = /simple/ { try_files /simple/$bandersnatch_page =404; }",
    ),
    "files": _remedy(
        "compare the files with their digests and fetch what is damaged: bandersnatch verify; and "
        "serve the directory packages as it is",
        "location /packages/ { try_files $uri =404; }",
    ),
    "metadata": _remedy(
        "serve the .metadata beside each wheel; bandersnatch verify fetches those that are missing",
        "location /packages/ { try_files $uri =404; }",
    ),
    "no metadata": _remedy(
        "a mirror by bandersnatch has the core metadata that its index has: core-metadata = true"
    ),
    "ranges": _remedy(
        "answer requests with a Range by 206 and that part of the file",
        "# remove max_ranges and gzip; behind a proxy:\nproxy_force_ranges on;",
        "# remove MaxRanges",
    ),
    "head": _remedy(
        "answer HEAD as GET without the body",
        "# remove limit_except GET { deny all; }",
    ),
}

REMEDIES: Mapping[str, Remedy] = {**_SERVER, **_FORMATS, **_HTTP, **_PATHS}
"""The remedies by a name that findings use."""
