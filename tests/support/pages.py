"""Pages as a reader of their text sees them, and text that would like to be more than text."""

from html.parser import HTMLParser

VOID = {"meta", "img", "link", "br", "input", "hr"}
NASTY = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;<style>*{display:none}</style>{{ 7*7 }}"


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that are not closed in order."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.text, self.style = [], [], [], [], ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def assert_inert(page: Page) -> None:
    """Nothing on the page runs or is fetched, and its policy forbids both."""
    assert not {"script", "iframe", "object", "embed", "form", "link", "base"} & set(page.tags)
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href"):
            own_page = name == "href" and value == "rollouts.html"  # a link, which only a reader follows
            assert own_page or value.startswith(("data:image/png;base64,", "data:image/jpeg;base64,", "#")), value[:50]
    policy = [value for _, name, value in page.attributes if name == "content" and "default-src" in value]
    assert policy and "default-src 'none'" in policy[0]
