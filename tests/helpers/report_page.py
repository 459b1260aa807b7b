"""The report's page as a reader without our code sees it: through html.parser and Pillow."""

import base64
import io
from html.parser import HTMLParser

from PIL import Image

VOID = {"meta", "img", "link", "br", "wbr", "hr", "input"}


class Page(HTMLParser):
    """Every tag with its attributes, the text of each section, and whether the tags nest."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.sections, self.text, self.section = [], [], [], {None: ""}, None
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.section = dict(attrs)["id"]
            self.sections.append(self.section)
            self.text[self.section] = ""

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "section":
            self.section = None

    def handle_data(self, data):
        if "style" not in self.open and "head" not in self.open:
            self.text[self.section] += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def words(text):
    return " ".join(text.split())


def opened(img):
    return Image.open(io.BytesIO(base64.b64decode(img["src"].split(",")[1])))
