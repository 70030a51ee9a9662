#!/usr/bin/env python3
"""seeds - writes the small files that the media fuzzers start from.

    tests/fuzz/seeds.py            into tests/fuzz/corpus/{exif,container,sidecar,kind}

Everything is made here byte by byte; no real picture is needed or copied.
"""

import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"
ID = b"01234567-89AB-CDEF-0123-456789ABCDEF\0"


def seed(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def directory(order, base, entries):
    """One TIFF directory at `base`, its values behind it."""
    heap_at = base + 2 + 12 * len(entries) + 4
    table, heap = struct.pack(order + "H", len(entries)), b""
    for tag, kind, count, value in entries:
        if len(value) > 4:
            place = struct.pack(order + "I", heap_at + len(heap))
            heap += value
        else:
            place = value.ljust(4, b"\0")
        table += struct.pack(order + "HHI", tag, kind, count) + place
    return table + bytes(4) + heap


def tiff(order=">"):
    """A picture's directory, its Exif and its GPS one."""

    def text(tag, value):
        return tag, 2, len(value) + 1, value + b"\0"

    def triple(tag, *parts):
        return tag, 5, 3, b"".join(struct.pack(order + "II", *part) for part in parts)

    note = b"Apple iOS\0\0\1MM\0\1\0\x11\0\2" + struct.pack(">III", len(ID), 32, 0) + ID
    first = directory(order, 8, [
        text(0x010F, b"SONY"),
        (0x8769, 4, 1, struct.pack(order + "I", 80)),
        (0x8825, 4, 1, struct.pack(order + "I", 400)),
    ])
    exif = directory(order, 80, [
        text(0x9003, b"2024:05:06 07:08:09"),
        text(0x9011, b"+02:00"),
        (0x927C, 7, len(note), note),
        text(0x9291, b"25"),
    ])
    gps = directory(order, 400, [
        text(1, b"S"), triple(2, (33, 1), (30, 1), (0, 1)),
        text(3, b"E"), triple(4, (151, 1), (0, 1), (36, 1)),
        triple(7, (7, 1), (8, 1), (9, 1)), text(29, b"2024:05:06"),
    ])
    magic = b"MM\0*\0\0\0\x08" if order == ">" else b"II*\0\x08\0\0\0"
    return ((magic + first).ljust(80, b"\0") + exif).ljust(400, b"\0") + gps + bytes(16)


def box(kind, *inside):
    data = b"".join(inside)
    return struct.pack(">I", 8 + len(data)) + kind + data


def movie():
    names = [b"com.apple.quicktime.creationdate", b"com.apple.quicktime.location.ISO6709",
             b"com.apple.quicktime.content.identifier"]
    values = [b"2024-05-06T07:08:09+0200", b"+48.8577-002.2950+035.1/", ID[:-1]]
    keys = box(b"keys", struct.pack(">II", 0, len(names)), *(box(b"mdta", n) for n in names))
    items = box(b"ilst", *(box(struct.pack(">I", i + 1), box(b"data", struct.pack(">II", 1, 0), v))
                           for i, v in enumerate(values)))
    xyz = b"+4851.4-00217.7/"
    return (box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"mdat", b"film")
            + box(b"moov", box(b"mvhd", struct.pack(">II", 0, 3797823321), bytes(8)),
                  box(b"udta", box(b"\xa9xyz", struct.pack(">HH", len(xyz), 0x15C7), xyz)),
                  box(b"meta", box(b"hdlr", b"12345678mdta"), keys, items)))


def heic():
    item = struct.pack(">I", 6) + b"Exif\0\0" + tiff()
    info = box(b"iinf", struct.pack(">IH", 0, 1),
               box(b"infe", struct.pack(">IHH", 2 << 24, 7, 0), b"Exif"))
    place = box(b"iloc", struct.pack(">IHHHHHHII", 1 << 24, 0x4400, 1, 7, 1, 0, 1, 0, len(item)))
    return (box(b"ftyp", b"heic\0\0\0\0mif1heic")
            + box(b"meta", bytes(4), box(b"hdlr", b"12345678pict"), info, place,
                  box(b"idat", item)))


def cr3():
    canon = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    return (box(b"ftyp", b"crx \0\0\0\1crx isom")
            + box(b"moov", box(b"uuid", canon, box(b"CMT1", tiff("<")), box(b"CMT2", tiff("<")))))


def xmp(attributes="", elements=""):
    spaces = {"exif": "http://ns.adobe.com/exif/1.0/", "xmp": "http://ns.adobe.com/xap/1.0/",
              "dc": "http://purl.org/dc/elements/1.1/", "dk": "http://www.digikam.org/ns/1.0/",
              "lr": "http://ns.adobe.com/lightroom/1.0/",
              "ps": "http://ns.adobe.com/photoshop/1.0/"}
    names = " ".join(f"xmlns:{k}='{v}'" for k, v in spaces.items())
    return (f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf="
            f"'http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description {names} {attributes}>"
            f"{elements}</rdf:Description></rdf:RDF></x:xmpmeta>").encode()


def main():
    segment = b"Exif\0\0" + tiff()
    jpeg = (b"\xff\xd8\xff\xe1" + struct.pack(">H", 2 + len(segment)) + segment
            + b"\xff\xda\0\3\1\x11\xff\xd9")
    seed("exif", "block-big", segment)
    seed("exif", "block-little", b"Exif\0\0" + tiff("<"))
    seed("exif", "jpeg", jpeg)
    seed("exif", "tiff", tiff("<"))
    seed("exif", "png", b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(tiff())) + b"eXIf" + tiff())
    seed("exif", "webp", b"RIFF\0\x10\0\0WEBPEXIF" + struct.pack("<I", len(tiff())) + tiff())
    seed("exif", "raf", b"FUJIFILMCCD-RAW ".ljust(84, b"\0") + struct.pack(">I", 88) + jpeg)
    seed("container", "movie", movie())
    seed("container", "heic", heic())
    seed("container", "cr3", cr3())
    seed("container", "jxl", b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"Exif", bytes(4), tiff()))
    seed("container", "wide", box(b"ftyp", b"isom\0\0\0\0") + struct.pack(">I4sQ", 1, b"mdat", 20)
         + b"1234" + b"\0\0\0\0moov" + box(b"mvhd", struct.pack(">IQ", 1 << 24, 3797823321)))
    seed("sidecar", "attributes.xmp", xmp(
        "exif:DateTimeOriginal='2024-05-06T07:08:09+02:00' exif:GPSLatitude='48,51.5N' "
        "exif:GPSLongitude='2,17,40W' xmp:Rating='4' dc:description='A hill'"))
    seed("sidecar", "elements.xmp", xmp(
        "", "<dc:description><rdf:Alt><rdf:li xml:lang='x-default'>A hill</rdf:li></rdf:Alt>"
        "</dc:description><xmp:Rating>-1</xmp:Rating><ps:DateCreated>2024-05-06</ps:DateCreated>"))
    seed("sidecar", "tags.xmp", xmp(
        "", "<dc:subject><rdf:Bag><rdf:li>Paris</rdf:li><rdf:li>sun</rdf:li></rdf:Bag></dc:subject>"
        "<lr:hierarchicalSubject><rdf:Bag><rdf:li>Places|Paris</rdf:li></rdf:Bag>"
        "</lr:hierarchicalSubject><dk:TagsList><rdf:Seq><rdf:li>Places/Paris</rdf:li></rdf:Seq>"
        "</dk:TagsList>"))
    seed("sidecar", "utf16.xmp", b"\xff\xfe" + xmp("xmp:Rating='3'").decode().encode("utf-16-le"))
    seed("sidecar", "doctype.xmp", b"<!DOCTYPE a [<!ENTITY b 'ha'>]><a>&b;</a>")
    seed("kind", "jpeg", b"IMG_20240506_070809.jpg\n" + jpeg)
    seed("kind", "jpeg-cut", b"IMG-20240506-WA0001.jpg\n" + jpeg[:-2])
    seed("kind", "heic", b"PXL_20240506_050809123.heic\n" + heic())
    seed("kind", "movie", b"PXL_20240506_050809123.MP\n" + movie())
    seed("kind", "arw", b"a.arw\n" + tiff("<"))
    seed("kind", "html", b"a.jpg\n<!doctype html><html>")
    seed("kind", "sidecar", b"a.jpg.xmp\n" + xmp())
    seed("kind", "webp", b".webp\nRIFF\x0c\0\0\0WEBPVP8 \0\0\0\0")
    seed("kind", "stream", b"2024-05-06 07.08.09.mts\n" + (b"\x47" + bytes(187)) * 3)
    seed("kind", "name", b"gr\xfc\xdf\x1b[2J\\.JPG\n\x89PNG\r\n\x1a\n\0\0\0\0IEND\xaeB`\x82")


if __name__ == "__main__":
    main()
