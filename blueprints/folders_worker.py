"""Worker for the folders blueprint: `python blueprints/folders_worker.py`, in the folder to be measured."""

from pathlib import Path

from folders_contracts import Folder, Listing, list_folder
from muster_worker import Permanent, Worker

worker = Worker()


@worker.task(list_folder, slots=4)
def do_list(folder: Folder) -> Listing:
    place = Path(folder.path).resolve()
    if not place.is_relative_to(Path.cwd()) or not place.is_dir():
        raise Permanent(f"there is no folder {folder.path!r} here")
    inside = [entry for entry in place.iterdir() if not entry.is_symlink()]
    return Listing(
        bytes=sum(entry.stat().st_size for entry in inside if entry.is_file()),
        folders=sorted(entry.name for entry in inside if entry.is_dir()),
    )


if __name__ == "__main__":
    worker.run()
