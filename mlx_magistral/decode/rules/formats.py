"""String formats as patterns, where llguidance has none or lets through what no checker takes.

Its ``date`` knows no months (2025-02-30), its times a second 60 at any minute, and its ``email``
and ``hostname`` no lengths. These take less than the standards do: four-digit years from 1000, no
leap seconds, ASCII names, URIs with a scheme. ``duration``, ``ipv4``, ``ipv6`` and ``uuid`` are
llguidance's.
"""

# Gregorian: a year is a leap year by its last two digits, or in full centuries by the first two.
_FOURTHS = "(0[48]|[2468][048]|[13579][26])"
_LEAP_YEAR = f"([1-9][0-9]{_FOURTHS}|([2468][048]|[13579][26])00)"
_DATE = (
    "([1-9][0-9]{3}-("
    "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
    "|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    "|02-(0[1-9]|1[0-9]|2[0-8])"
    f")|{_LEAP_YEAR}-02-29)"
)
_HOURS = "([01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"({_HOURS}:[0-5][0-9](\.[0-9]{{1,6}})?(Z|[+-]{_HOURS}))"

# A label has 62 characters at most and a name 252; RFC 1123 allows 63 and 253.
_HYPHENS = "(-[A-Za-z0-9]{1,20}){0,2}"
_LABEL = f"[A-Za-z0-9]{{1,20}}{_HYPHENS}"
_HOSTNAME = rf"(({_LABEL}\.){{0,3}}[A-Za-z][A-Za-z0-9]{{0,19}}{_HYPHENS})"
# Before the @ 64 characters at most (RFC 5321), and of those only what nobody has to quote.
_ATOM = "[A-Za-z0-9_+-]{1,20}"
_EMAIL = rf"({_ATOM}(\.{_ATOM}){{0,2}}@({_LABEL}\.){{1,3}}[A-Za-z]{{2,20}})"

# RFC 3986, without user names, addresses in brackets and empty hosts.
_PATH_SIGN = "([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_PATH = f"(/{_PATH_SIGN}*)*"
_QUERY = rf"(\?({_PATH_SIGN}|[/?])*)?(#({_PATH_SIGN}|[/?])*)?"
_PORT = "(:([1-9][0-9]{0,3}|[1-5][0-9]{4}))?"
_URI = (
    rf"(([a-z][a-z0-9+.-]{{0,19}}://{_HOSTNAME}{_PORT}{_PATH}{_QUERY})"
    rf"|(file://{_PATH_SIGN.replace(':', '')}*(/{_PATH_SIGN}+)+)|(mailto:{_EMAIL})"
    rf"|(urn:[a-z0-9]{{2,20}}:{_PATH_SIGN}+))"
)
_RELATIVE = rf"((/|\./|\.\./)?[A-Za-z0-9._~-]+{_PATH}{_QUERY})"
_POINTER = r"((/([^/~\x{0}-\x{1f}\x{7f}]|~[01])*)*)"

FORMAT_PATTERNS = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}T{_TIME}$",
    "hostname": f"^{_HOSTNAME}$",
    "idn-hostname": f"^{_HOSTNAME}$",
    "email": f"^{_EMAIL}$",
    "idn-email": f"^{_EMAIL}$",
    "uri": f"^{_URI}$",
    "url": f"^{_URI}$",
    "iri": f"^{_URI}$",
    "uri-template": f"^{_URI}$",
    "uri-reference": f"^({_URI}|{_RELATIVE})$",
    "iri-reference": f"^({_URI}|{_RELATIVE})$",
    "json-pointer": f"^{_POINTER}$",
    "relative-json-pointer": f"^(0|[1-9][0-9]{{0,3}})(#|{_POINTER})$",
}
# Formats of which every text is one.
ANY_TEXT = frozenset(("path", "file-path", "directory-path", "password", "binary", "text"))
# llguidance's own.
NATIVE = frozenset(("duration", "ipv4", "ipv6", "uuid"))
