"""Makes a Django project in the folder given, with users of every kind, and writes dumps of them.

Passwords are hashed by Django's default, with its own number of iterations.
"""
import subprocess
import sys
from pathlib import Path

folder = Path(sys.argv[1])
PASSWORD = sys.argv[2]


def manage(*arguments: str) -> None:
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=folder / "shop", check=True)


subprocess.run([sys.executable, "-m", "django", "startproject", "shop"], cwd=folder, check=True)
manage("migrate", "--verbosity", "0")

USERS = """
from datetime import datetime, timezone
from django.contrib.auth.models import Group, User
PASSWORD = %r
groups = {name: Group.objects.create(name=name) for name in ["Editors", "staff.2", "Content Team", "Admin"]}
joined = datetime(2019, 5, 6, 7, 8, 9, 123456, tzinfo=timezone.utc)
ada = User.objects.create_user("ada", "Ada@Example.com", PASSWORD, first_name="Ada", last_name="Löve", date_joined=joined)
ada.groups.set([groups["Editors"], groups["staff.2"]])
team = User.objects.create_user("team", "team@example.com", PASSWORD)
team.groups.set([groups["Content Team"], groups["Admin"], groups["Editors"]])
User.objects.create_superuser("boss", "boss@example.com", PASSWORD)
User.objects.create_user("off", "off@example.com", PASSWORD, is_active=False)
User.objects.create_user("sso", "sso@example.com")
User.objects.create_user("mail@example.com", "", PASSWORD)
User.objects.create_user("nobody", "", PASSWORD)
User.objects.create_user("twin", "ADA@example.com", PASSWORD)
""" % PASSWORD
manage("shell", "--verbosity", "0", "-c", USERS)

manage("dumpdata", "auth.user", "auth.group", "--output", folder / "dump.json")
manage("dumpdata", "auth.user", "auth.group", "--natural-foreign", "--natural-primary",
       "--indent", "2", "--output", folder / "natural.json")
manage("dumpdata", "--output", folder / "everything.json")
manage("dumpdata", "auth.user", "--output", folder / "users.json")
