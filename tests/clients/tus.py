"""tus.py - tuspy as its users have it, doing one thing for a test.

    python tus.py CASE ENDPOINT FILE...      prints the upload's URL, one a file

CUT and CHUNK are bytes; STORAGE is where it remembers uploads between two runs.
"""
import asyncio
import hashlib
import os
import sys

from tusclient import client
from tusclient.exceptions import TusCommunicationError
from tusclient.storage import filestorage

CHUNK = int(os.environ.get("CHUNK", 4 << 20))


def uploader(endpoint, path, kind="uploader", **more):
    """An uploader of one file, which remembers its URL where STORAGE says so."""
    tus = client.TusClient(endpoint)
    if "STORAGE" in os.environ:
        more.update(store_url=True, url_storage=filestorage.FileStorage(os.environ["STORAGE"]))
    return getattr(tus, kind)(
        path,
        chunk_size=CHUNK,
        metadata={"filename": os.path.basename(path)},
        retries=3,
        retry_delay=1,
        **more,
    )


def upload(endpoint, path, **more):
    """The whole file, or what is left of it."""
    one = uploader(endpoint, path, **more)
    one.upload()
    return one.url


def cut(endpoint, path):
    """Whole chunks up to CUT, and no more."""
    one = uploader(endpoint, path)
    one.upload(stop_at=int(os.environ["CUT"]))
    return one.url


def checksum(endpoint, path):
    """With the checksum of each chunk, which the server must check."""
    return upload(endpoint, path, upload_checksum=True)


def wrong(endpoint, path):
    """With a checksum of other bytes: the answer must be 460."""
    one = uploader(endpoint, path, upload_checksum=True)
    one.retries = 0
    one._BaseUploader__checksum_algorithm = lambda data: hashlib.sha1(data + b"!")
    try:
        one.upload_chunk()
    except TusCommunicationError as error:
        print(error.status_code)
    return one.url


def parallel(endpoint, paths):
    """All files at once."""

    async def all_of_them():
        many = [uploader(endpoint, path, "async_uploader") for path in paths]
        await asyncio.gather(*(one.upload() for one in many))
        return [one.url for one in many]

    return asyncio.run(all_of_them())


def main():
    """One case; what fails says so by its exit code."""
    case, endpoint, *paths = sys.argv[1:]
    if case == "parallel":
        urls = parallel(endpoint, paths)
    else:
        cases = {"upload": upload, "resume": upload, "cut": cut, "checksum": checksum, "wrong": wrong}
        urls = [cases[case](endpoint, path) for path in paths]
    print("\n".join(urls))


main()
