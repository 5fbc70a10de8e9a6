"""Configurations of web servers for a mirror, made of its own options.

All three serve the pages, files and documents of a mirror with the types, redirects and cache times
of ``docs/development/protocol.md``, "Serving", and nothing else. They do not compress pages:
nginx makes the ETag of a compressed answer weak, and Apache's does not match on the next request.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from msgspec import Struct

from bandersnatch.errors import OptionError
from bandersnatch.layout import PageFormat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_JSON, _HTML = "application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.v1+html"
_ACCEPT = {
    PageFormat.V1_JSON: r"application/vnd\.pypi\.simple\.(v1|latest)\+json",
    PageFormat.V1_HTML: r"application/vnd\.pypi\.simple\.(v1|latest)\+html",
}
_TYPES = {PageFormat.V1_JSON: _JSON, PageFormat.V1_HTML: _HTML, PageFormat.HTML: "text/html"}
_PAGE_AGE = "public, max-age=600"
_FILE_AGE = "public, max-age=31536000, immutable"
_NAME = "[a-z0-9]+(?:-[a-z0-9]+)*"
_SPECIAL = re.compile(r"[\"'`$\\{}\x00-\x1f\x7f]")


class WebServer(Enum):
    """The servers for which there are configurations."""

    NGINX = "nginx"
    CADDY = "caddy"
    APACHE = "apache"


class Site(Struct, frozen=True):
    """What a configuration is made of.

    ``web`` is the absolute path of the served directory. ``host`` and ``port`` are where to
    listen; the host is "" for all addresses, the port 0 for the server's usual one. ``certificate``
    and ``key`` are paths, "" for none.
    """

    web: str
    server_name: str
    host: str = ""
    port: int = 0
    certificate: str = ""
    key: str = ""
    formats: tuple[PageFormat, ...] = (PageFormat.HTML,)
    hash_index: bool = False
    legacy_json: bool = False

    @property
    def default(self) -> PageFormat:
        """The format for clients that accept none of the others."""
        return PageFormat.HTML if PageFormat.HTML in self.formats else self.formats[0]

    @property
    def chosen(self) -> tuple[PageFormat, ...]:
        """The formats that clients choose by ``Accept``, the preferred one first."""
        return tuple(each for each in _ACCEPT if each in self.formats and each != self.default)

    @property
    def address(self) -> str:
        """The host as it is written in front of a port, "" for all addresses."""
        return f"[{self.host}]" if ":" in self.host else self.host


def render_webserver(server: WebServer, site: Site) -> str:
    """Return the configuration of a server.

    :raises OptionError: if a path has a character that such a file cannot express.
    """
    for path in (site.web, site.certificate, site.key):
        if found := _SPECIAL.search(path):
            raise OptionError(
                f"{path!r} has the character {found[0]!r}, which configurations of web servers "
                "cannot quote; use bandersnatch serve, or a path without it"
            )
    render = {WebServer.NGINX: _nginx, WebServer.CADDY: _caddy, WebServer.APACHE: _apache}[server]
    return "\n".join(render(site)) + "\n"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" if line else "" for line in lines)


# ---------------------------------------------------------------- nginx


def _nginx(site: Site) -> Iterator[str]:
    yield "# nginx: include this file in the http block; Debian includes /etc/nginx/conf.d/*.conf."
    if site.chosen:
        yield "map $http_accept $bandersnatch_page {"
        yield f"    default index.{site.default.value};"
        for form in site.chosen:
            yield f'    "~*{_ACCEPT[form]}" index.{form.value};'
        yield "}"
        yield ""
    yield "server {"
    yield from _indented(_nginx_listen(site))
    yield from _indented(_nginx_common(site))
    yield from _indented(_nginx_pages(site))
    yield from _indented(_nginx_files(site))
    yield "}"


def _nginx_listen(site: Site) -> Iterator[str]:
    tls = " ssl" if site.certificate else ""
    port = site.port or (443 if tls else 80)
    if site.host:
        yield f"listen {site.address}:{port}{tls};"
    else:
        yield f"listen {port}{tls};"
        yield f"listen [::]:{port}{tls};"
    yield f"server_name {site.server_name};"
    if tls:
        yield f'ssl_certificate "{site.certificate}";'
        yield f'ssl_certificate_key "{site.key}";'


def _nginx_common(site: Site) -> Iterator[str]:
    yield f'root "{site.web}";'
    yield "absolute_redirect off;"
    yield "server_tokens off;"
    yield "gzip off;"
    yield "charset utf-8;"
    yield f"charset_types text/html text/plain {_HTML};"
    yield "types {"
    yield from _indented(f"{kind} {form.value};" for form, kind in _TYPES.items())
    yield "}"
    yield "default_type application/octet-stream;"
    yield ""
    yield "location / { return 404; }"
    yield r"location ~ /\. { return 404; }"
    yield "location = /last-modified { default_type text/plain; try_files $uri =404; }"


def _nginx_pages(site: Site) -> Iterator[str]:
    page = "$bandersnatch_page" if site.chosen else f"index.{site.default.value}"
    headers = ("add_header Vary Accept always;", f'add_header Cache-Control "{_PAGE_AGE}";')
    yield ""
    yield "location = /simple { return 301 /simple/; }"
    yield f"location ~ ^/simple/(?<project>{_NAME})$ {{ return 301 /simple/$project/; }}"
    yield "location = /simple/ {"
    yield from _indented((*headers, f"try_files /simple/{page} =404;"))
    yield "}"
    if site.hash_index:
        yield "location ~ ^/simple/(?<first>[a-z0-9])(?<rest>[a-z0-9-]*)/$ {"
        where = f"/simple/$first/$first$rest/{page}"
    else:
        yield f"location ~ ^/simple/(?<project>{_NAME})/$ {{"
        where = f"/simple/$project/{page}"
    yield from _indented((*headers, f"try_files {where} =404;"))
    yield "}"


def _nginx_files(site: Site) -> Iterator[str]:
    yield ""
    yield "location /packages/ {"
    yield "    types { }"
    yield f'    add_header Cache-Control "{_FILE_AGE}";'
    yield "    try_files $uri =404;"
    yield "}"
    if site.legacy_json:
        yield ""
        yield "location ~ ^/(?:json/[a-z0-9-]+|pypi/[a-z0-9-]+/json)$ {"
        yield "    types { }"
        yield "    default_type application/json;"
        yield f'    add_header Cache-Control "{_PAGE_AGE}";'
        yield "    try_files $uri =404;"
        yield "}"


# ---------------------------------------------------------------- Apache


def _apache(site: Site) -> Iterator[str]:
    port = site.port or (443 if site.certificate else 80)
    modules = ["authz_core", "headers", "mime", "rewrite", *(["ssl"] if site.certificate else [])]
    yield f"# Apache 2.4 with the modules {', '.join(modules)}, and with: Listen {port}"
    yield f"<VirtualHost {site.address or '*'}:{port}>"
    yield from _indented(_apache_common(site))
    yield from _indented(_apache_pages(site))
    yield from _indented(_apache_files(site))
    yield "</VirtualHost>"


def _apache_common(site: Site) -> Iterator[str]:
    yield f"ServerName {site.server_name}"
    if site.certificate:
        yield "SSLEngine on"
        yield f'SSLCertificateFile "{site.certificate}"'
        yield f'SSLCertificateKeyFile "{site.key}"'
    yield f'DocumentRoot "{site.web}"'
    yield f'<Directory "{site.web}">'
    yield "    Require all granted"
    yield "    Options FollowSymLinks"
    yield "    AllowOverride None"
    yield "    DirectoryIndex disabled"
    yield "</Directory>"
    for form, kind in _TYPES.items():
        yield f"AddType {kind} .{form.value}"
    yield "AddCharset utf-8 .html .v1_html"


def _apache_pages(site: Site) -> Iterator[str]:
    yield ""
    yield "RewriteEngine On"
    yield "RewriteRule ^ - [E=no-gzip:1]"
    yield r"RewriteRule /\. - [R=404,L]"
    yield "RewriteRule ^/(?!simple(?:/|$)|packages/|json/|pypi/|last-modified$) - [R=404,L]"
    yield "# A directory is not a document."
    yield r"RewriteRule ^/(?:packages|json|pypi)/(?:.*/)?$ - [R=404,L]"
    yield f"RewriteRule ^/simple((?:/{_NAME})?)$ /simple$1/ [R=301,L]"
    for form in (*site.chosen, site.default):
        for pattern, where in _apache_places(site):
            if form is not site.default:
                yield f"RewriteCond %{{HTTP_ACCEPT}} {_ACCEPT[form]}"
            yield f"RewriteRule {pattern} %{{DOCUMENT_ROOT}}{where}index.{form.value} [L]"
    yield '<Location "/simple/">'
    yield "    Header always merge Vary Accept"
    yield f'    Header set Cache-Control "{_PAGE_AGE}"'
    yield "</Location>"


def _apache_places(site: Site) -> Iterator[tuple[str, str]]:
    """Yield patterns of paths of pages, and the directories of the pages."""
    yield "^/simple/$", "/simple/"
    if site.hash_index:
        yield "^/simple/([a-z0-9])([a-z0-9-]*)/$", "/simple/$1/$1$2/"
    else:
        yield f"^/simple/({_NAME})/$", "/simple/$1/"


def _apache_files(site: Site) -> Iterator[str]:
    yield ""
    yield "<Location /last-modified>"
    yield "    ForceType text/plain"
    yield "</Location>"
    yield "# Without RemoveEncoding a client could unpack foo-1.0.tar.gz on the way."
    yield '<Location "/packages/">'
    yield "    RemoveEncoding .gz .tgz .Z .bz2 .xz"
    yield "    ForceType application/octet-stream"
    yield f'    Header set Cache-Control "{_FILE_AGE}"'
    yield "</Location>"
    if site.legacy_json:
        yield '<LocationMatch "^/(?:json/[a-z0-9-]+|pypi/[a-z0-9-]+/json)$">'
        yield "    ForceType application/json"
        yield f'    Header set Cache-Control "{_PAGE_AGE}"'
        yield "</LocationMatch>"


# ---------------------------------------------------------------- Caddy


def _caddy(site: Site) -> Iterator[str]:
    yield "# Caddy 2: a site of the Caddyfile."
    yield f"{_caddy_address(site)} {{"
    yield from _indented(_caddy_common(site))
    yield from _indented(_caddy_pages(site))
    yield from _indented(_caddy_files(site))
    yield "}"


def _caddy_address(site: Site) -> str:
    if site.certificate:
        return f"https://:{site.port or 443}"
    return f"http://:{site.port}" if site.port else site.server_name


def _caddy_common(site: Site) -> Iterator[str]:
    if site.host:
        yield f"bind {site.host}"
    if site.certificate:
        yield f'tls "{site.certificate}" "{site.key}"'
    yield f'root * "{site.web}"'
    yield "@other not path /simple /simple/* /packages/* /json/* /pypi/* /last-modified"
    yield "error @other 404"


def _caddy_pages(site: Site) -> Iterator[str]:
    yield ""
    yield f"@unslashed path_regexp unslashed ^/simple((?:/{_NAME})?)$"
    yield "redir @unslashed /simple{re.unslashed.1}/ 301"
    yield "header /simple/* Vary Accept"
    yield f'header /simple/* Cache-Control "{_PAGE_AGE}"'
    places = (("root", "^/simple/$", "/simple/"), _caddy_place(site))
    for name, pattern, where in places:
        for form in (*site.chosen, site.default):
            label = f"{name}_{form.value}"
            yield f"@{label} {{"
            yield f"    path_regexp {name} {pattern}"
            yield from _indented(_caddy_conditions(site, form))
            yield "}"
            kind = _TYPES[form] + ("" if form is PageFormat.V1_JSON else "; charset=utf-8")
            yield f'header @{label} Content-Type "{kind}"'
            yield f"rewrite @{label} {where}index.{form.value}"


def _caddy_conditions(site: Site, form: PageFormat) -> Iterator[str]:
    """Yield what must hold for a format: it is accepted, and none that is preferred is."""
    for each in site.chosen:
        if each is form:
            yield f"header_regexp Accept {_ACCEPT[each]}"
            return
        yield f"not header_regexp Accept {_ACCEPT[each]}"


def _caddy_place(site: Site) -> tuple[str, str, str]:
    if site.hash_index:
        where = "/simple/{re.project.1}/{re.project.1}{re.project.2}/"
        return "project", "^/simple/([a-z0-9])([a-z0-9-]*)/$", where
    return "project", f"^/simple/({_NAME})/$", "/simple/{re.project.1}/"


def _caddy_files(site: Site) -> Iterator[str]:
    yield ""
    yield f'header /packages/* Cache-Control "{_FILE_AGE}"'
    yield "header /packages/* Content-Type application/octet-stream"
    yield 'header /last-modified Content-Type "text/plain; charset=utf-8"'
    if site.legacy_json:
        yield "@legacy path_regexp ^/(?:json/[a-z0-9-]+|pypi/[a-z0-9-]+/json)$"
        yield "header @legacy Content-Type application/json"
        yield f'header @legacy Cache-Control "{_PAGE_AGE}"'
    yield "file_server {"
    yield "    hide .*"
    yield "}"
    yield "handle_errors {"
    yield "    header Cache-Control no-cache"
    yield '    header Content-Type "text/plain; charset=utf-8"'
    yield '    respond "{http.error.status_code} {http.error.status_text}"'
    yield "}"
