"""Password hashes as Django, passlib, pwdlib, Werkzeug, bcrypt, argon2-cffi and crypt(3) make them, and
what other languages' libraries make, computed here from their documented formats.

Prints a JSON object a line: the name of the case, a password that the library accepts, one that
it refuses, and the hash. Each library has checked both before they are printed.
"""

import base64
import hashlib
import hmac
import json
import logging
import os
import struct
import warnings

import argon2
import bcrypt
import django
from argon2.exceptions import VerifyMismatchError
from django.conf import settings
from django.contrib.auth import hashers
from passlib import hash as passlib
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher
from werkzeug.security import check_password_hash, generate_password_hash

# It looks for a version number that newer releases of bcrypt keep elsewhere.
logging.getLogger("passlib").setLevel(logging.ERROR)
settings.configure()
django.setup()

PASSWORDS = {
    "plain": "correct horse",
    "space": " ",
    "short": "0",
    "quotes": "'\"\\ $2b$ %s {} &=+",
    "composed": "caf\u00e9 noir \u00fcber",
    # What normal form KC would change: decomposed accents, a ligature, wide letters, the \u00c5ngstr\u00f6m.
    "decomposed": "cafe\u0301 noir",
    "compatible": "\ufb01anc\u00e9e \uff41\uff42\uff43 \u212b\u2460",
    "scripts": "\u043f\u0430\u0440\u043e\u043b\u044c \u5bc6\u7801 \u0645\u0631\u062d\u0628\u0627 \U0001f40e\U0001f50b",
    "long": "0123456789" * 12,
    # The 72nd byte is in the middle of a character.
    "long letters": "a" + "\u00e9" * 60,
}


def case(name, password, hashed, verify, wrong=None):
    # At the front, where every scheme looks.
    wrong = wrong or "x" + password
    assert verify(password, hashed), (name, "the library refuses its own hash")
    assert not verify(wrong, hashed), (name, "the library accepts a wrong password")
    print(json.dumps({"name": name, "password": password, "wrong": wrong, "hash": hashed}))


def for_all(name, make, verify):
    for kind, password in PASSWORDS.items():
        case(f"{name}, {kind}", password, make(password), verify)


def quick(hasher, **parameters):
    """A hasher of Django's with less work."""
    return type(hasher.__name__, (hasher,), parameters)()


def from_django():
    def make(hasher):
        return lambda password: hasher.encode(password, hasher.salt())

    def verify(password, hashed):
        return hashers.identify_hasher(hashed).verify(password, hashed)

    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers." + name
        for name in (
            "PBKDF2PasswordHasher",
            "PBKDF2SHA1PasswordHasher",
            "Argon2PasswordHasher",
            "BCryptSHA256PasswordHasher",
            "BCryptPasswordHasher",
            "ScryptPasswordHasher",
        )
    ]
    argon2_parameters = {"memory_cost": 512, "time_cost": 2, "parallelism": 2}
    for hasher in (
        quick(hashers.PBKDF2PasswordHasher, iterations=1000),
        quick(hashers.PBKDF2SHA1PasswordHasher, iterations=1000),
        quick(hashers.Argon2PasswordHasher, **argon2_parameters),
        quick(hashers.BCryptSHA256PasswordHasher, rounds=4),
        quick(hashers.BCryptPasswordHasher, rounds=4),
        quick(hashers.ScryptPasswordHasher, work_factor=2**8),
    ):
        for_all(f"Django {hasher.algorithm}", make(hasher), verify)
    for name in settings.PASSWORD_HASHERS:
        hasher = getattr(hashers, name.rpartition(".")[2])()
        hashed = make(hasher)("correct horse")
        case(f"Django {hasher.algorithm}, defaults", "correct horse", hashed, verify)
    pbkdf2 = quick(hashers.PBKDF2PasswordHasher, iterations=1)
    hashed = pbkdf2.encode("correct horse", "salt of +/=:,\u00e9")
    case("Django pbkdf2_sha256, odd salt", "correct horse", hashed, verify)


def from_passlib():
    # Otherwise its first use puts other methods in place than those that were taken from it.
    passlib.argon2.set_backend()
    for name, quick in (
        ("argon2", {"type": "ID", "memory_cost": 256, "rounds": 2, "parallelism": 2}),
        ("argon2", {"type": "I", "memory_cost": 256, "rounds": 3, "parallelism": 1}),
        ("argon2", {"type": "ID", "memory_cost": 64, "digest_size": 16, "salt_size": 8}),
        ("bcrypt", {"rounds": 4}),
        ("bcrypt", {"rounds": 4, "ident": "2a"}),
        ("bcrypt", {"rounds": 4, "ident": "2y"}),
        ("bcrypt_sha256", {"rounds": 4}),
        ("bcrypt_sha256", {"rounds": 4, "version": 1}),
        ("bcrypt_sha256", {"rounds": 4, "version": 1, "ident": "2a"}),
        ("pbkdf2_sha1", {"rounds": 100}),
        ("pbkdf2_sha256", {"rounds": 100, "salt_size": 1}),
        ("pbkdf2_sha256", {"rounds": 1, "salt_size": 1024}),
        ("pbkdf2_sha512", {"rounds": 100, "salt_size": 63}),
        ("scrypt", {"rounds": 4}),
        ("scrypt", {"rounds": 10, "block_size": 3, "parallelism": 5}),
        ("phpass", {"rounds": 7}),
        ("phpass", {"rounds": 8, "ident": "H"}),
        ("django_pbkdf2_sha256", {"rounds": 100}),
        ("django_bcrypt_sha256", {"rounds": 4}),
        ("sha256_crypt", {"rounds": 1000}),
        ("sha512_crypt", {"rounds": 1000, "salt_size": 1}),
        ("sha512_crypt", {"rounds": 5000}),
    ):
        hasher = getattr(passlib, name)
        for_all(f"passlib {name} {quick}", hasher.using(**quick).hash, hasher.verify)
    for name in (
        "argon2 bcrypt bcrypt_sha256 pbkdf2_sha1 pbkdf2_sha256 pbkdf2_sha512 scrypt phpass"
        " sha256_crypt sha512_crypt".split()
    ):
        hasher = getattr(passlib, name)
        hashed = hasher.hash("correct horse")
        case(f"passlib {name}, defaults", "correct horse", hashed, hasher.verify)


def from_werkzeug():
    def verify(password, hashed):
        return check_password_hash(hashed, password)

    for method in (
        "pbkdf2:sha1:100",
        "pbkdf2:sha256:100",
        "pbkdf2:sha512:100",
        "scrypt:256:8:1",
        "scrypt:1024:4:3",
    ):
        for_all(
            f"Werkzeug {method}", lambda password: generate_password_hash(password, method), verify
        )
    for method in ("pbkdf2", "scrypt"):
        hashed = generate_password_hash("correct horse", method)
        case(f"Werkzeug {method}, defaults", "correct horse", hashed, verify)


def from_the_rest():
    argon2_hasher, bcrypt_hasher = Argon2Hasher(1, 64, 1), BcryptHasher(4)
    for name, hasher in (("argon2", argon2_hasher), ("bcrypt", bcrypt_hasher)):
        for_all(f"pwdlib {name}", hasher.hash, hasher.verify)
    recommended = PasswordHash.recommended()
    hashed = recommended.hash("correct horse")
    case("pwdlib, recommended", "correct horse", hashed, recommended.verify)

    def verify_argon2(password, hashed):
        try:
            return argon2.PasswordHasher().verify(hashed, password)
        except VerifyMismatchError:
            return False

    for kind in (argon2.Type.I, argon2.Type.ID):
        hasher = argon2.PasswordHasher(2, 128, 3, 24, 12, type=kind)
        for_all(f"argon2-cffi {kind.name}", hasher.hash, verify_argon2)
    hashed = argon2.PasswordHasher().hash("correct horse")
    case("argon2-cffi, defaults", "correct horse", hashed, verify_argon2)
    # The settings of the Signet under test, so that nothing else tells it to hash again.
    hasher = argon2.PasswordHasher(1, 8, 1)
    for_all("argon2-cffi as Signet's", hasher.hash, verify_argon2)

    def verify_bcrypt(password, hashed):
        return bcrypt.checkpw(password.encode(), hashed.encode())

    def make_bcrypt(password):
        return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()

    for_all("bcrypt", make_bcrypt, verify_bcrypt)
    # What comes after 72 bytes was never looked at, and what comes before always.
    start = "0123456789" * 7
    hashed = make_bcrypt(start + "ab and an end")
    for end in ("ab", "ab and another end"):
        case(f"bcrypt, 72 bytes and {end}", start + end, hashed, verify_bcrypt, start + "a")
    hashed = make_bcrypt("a" + "\u00e9" * 60)
    case("bcrypt, in a letter", "a" + "\u00e9" * 36, hashed, verify_bcrypt, "a" + "\u00e9" * 35)


def from_crypt():
    """What the system's library writes into /etc/shadow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import crypt
        except ImportError:  # Gone since Python 3.13.
            return

    def make(setting):
        return lambda password: crypt.crypt(password, setting)

    def verify(password, hashed):
        return hmac.compare_digest(crypt.crypt(password, hashed), hashed)

    for setting in (
        "$5$rounds=1000$saltstring",
        "$6$rounds=1000$saltstringsaltst",
        "$6$s",
        "$y$j75$abcdefghijklmnopqrstu1",
    ):
        for_all(f"crypt {setting}", make(setting), verify)
    for setting in ("$y$j9T$WZaPV7LSUEKMo34.", "$y$j85.0$LdJMENpBABJJ3hIHjB1Bi."):
        case(f"crypt {setting}", "correct horse", make(setting)("correct horse"), verify)


def from_other_languages():
    """Computed by their documentation; `again` computes with the salt of a hash that is there."""

    def checked(again):
        return lambda password, hashed: hmac.compare_digest(again(password, hashed), hashed)

    def unpadded(data):
        return base64.b64encode(data).decode().rstrip("=")

    def decoded(text):
        return base64.b64decode(text + "=" * (-len(text) % 4))

    def phc(password, hashed):
        _, name, parameters, salt, _ = hashed.split("$")
        rounds, length = (int(part[2:]) for part in parameters.split(","))
        digest = hashlib.pbkdf2_hmac(name[7:], password.encode(), decoded(salt), rounds, length)
        return f"${name}${parameters}${salt}${unpadded(digest)}"

    for name, length in (("sha1", 20), ("sha256", 32), ("sha512", 64), ("sha256", 64)):
        scheme = "pbkdf2" if name == "sha1" else f"pbkdf2-{name}"

        def make(password):
            digest = hashlib.pbkdf2_hmac(name, password.encode(), salt, 100, length)
            return f"${scheme}$i=100,l={length}${unpadded(salt)}${unpadded(digest)}"

        salt = os.urandom(16)
        for_all(f"PHC {scheme} {length}", make, lambda password, hashed: make(password) == hashed)

    # .NET's PasswordHasher<TUser>, version 3.
    def asp_net(password, salt, prf=1, rounds=100):
        name = ("sha1", "sha256", "sha512")[prf]
        digest = hashlib.pbkdf2_hmac(name, password.encode(), salt, rounds, 32)
        head = struct.pack(">BIII", 1, prf, rounds, len(salt))
        return base64.b64encode(head + salt + digest).decode()

    def asp_net_again(password, hashed):
        data = base64.b64decode(hashed)
        _, prf, rounds, length = struct.unpack(">BIII", data[:13])
        return asp_net(password, data[13 : 13 + length], prf, rounds)

    for prf in range(3):
        make = lambda password: asp_net(password, os.urandom(16), prf)  # noqa: E731
        for_all(f"ASP.NET Identity, {prf}", make, checked(asp_net_again))
    hashed = asp_net("correct horse", os.urandom(16), 2, 100_000)
    case("ASP.NET Identity, defaults", "correct horse", hashed, checked(asp_net_again))

    # wp_hash_password() since 6.8: PHP's trim, an HMAC in base64, bcrypt.
    def wordpress_input(password):
        trimmed = password.encode().strip(b" \t\n\r\0\x0b")
        return base64.b64encode(hmac.digest(b"wp-sha384", trimmed, "sha384"))

    def wordpress(password):
        hashed = bcrypt.hashpw(wordpress_input(password), bcrypt.gensalt(4)).decode()
        return "$wp" + hashed.replace("$2b$", "$2y$")

    def wordpress_verify(password, hashed):
        return bcrypt.checkpw(wordpress_input(password), hashed[3:].encode())

    for_all("WordPress", wordpress, wordpress_verify)
    hashed = wordpress("correct horse")
    case("WordPress, white space", " correct horse\t", hashed, wordpress_verify)

    # Spring's DelegatingPasswordEncoder.
    def spring_bcrypt(password):
        return "{bcrypt}" + passlib.bcrypt.using(rounds=4, ident="2a").hash(password)

    def spring_argon2(password):
        hasher = argon2.PasswordHasher(2, 128, 1)
        return "{argon2@SpringSecurity_v5_8}" + hasher.hash(password)

    def inner(verify):
        return lambda password, hashed: verify(password, hashed.partition("}")[2])

    def verify_argon2(password, hashed):
        try:
            return argon2.PasswordHasher().verify(hashed, password)
        except VerifyMismatchError:
            return False

    for_all("Spring bcrypt", spring_bcrypt, inner(passlib.bcrypt.verify))
    for_all("Spring Argon2", spring_argon2, inner(verify_argon2))


from_django()
from_passlib()
from_crypt()
from_other_languages()
from_werkzeug()
from_the_rest()
