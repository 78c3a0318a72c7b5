"""An SMTP server (aiosmtpd) for the tests: smtp_server.py FOLDER PORT starttls|tls|plain

It asks for TLS and a login, with a certificate of an authority that it makes itself, and writes what
it takes to FOLDER/mails, one JSON document each. What the recipient's name begins with says how it
is treated:

    refused   550 to RCPT
    later     451 to RCPT the first time
    slow      the answer to the message takes three seconds
    lost      the message is kept the first time too, but the connection ends without an answer
    rcpt-CODE, rcpt-CODE-ENHANCED
              that answer to RCPT the first time, such as rcpt-504-5.5.2
    data-CODE, data-CODE-ENHANCED
              the same to the message
"""
import asyncio, datetime, email, email.policy, ipaddress, json, os, ssl, sys, uuid

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

FOLDER, PORT, MODE = sys.argv[1], int(sys.argv[2]), sys.argv[3]
MAILS = os.path.join(FOLDER, "mails")
USER, PASSWORD = b"signet", b"a password for mail"


def make_certificates():
    """An authority in ca.pem, and a certificate of this server in server.pem with its key."""
    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def certificate(subject, key, issuer, issuer_key, is_authority):
        now = datetime.datetime.now(datetime.timezone.utc)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        )
        if not is_authority:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(issuer_key, hashes.SHA256())

    def pem(thing):
        return thing.public_bytes(serialization.Encoding.PEM)

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = certificate(name("Test authority"), authority_key, name("Test authority"),
                            authority_key, True)
    server = certificate(name("localhost"), key, name("Test authority"), authority_key, False)
    private = key.private_bytes(serialization.Encoding.PEM,
                                serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write("server.pem", pem(server) + private)
    write("ca.pem", pem(authority))


def write(path, content):
    path = os.path.join(FOLDER, path)
    with open(path + ".part", "wb") as file:
        file.write(content)
    os.rename(path + ".part", path)


def keep(envelope, session):
    """Writes the message down, taken apart."""
    message = email.message_from_bytes(envelope.content, policy=email.policy.default)

    def body(kind):
        part = message.get_body((kind,))
        return part.get_content() if part else None

    kept = {
        "from": envelope.mail_from,
        "to": envelope.rcpt_tos,
        "headers": {name: str(value) for name, value in message.items()},
        "text": body("plain"),
        "html": body("html"),
        "encrypted": session.ssl is not None or MODE == "tls",
        "authenticated": session.authenticated,
        "hello": session.host_name,
    }
    number = len(os.listdir(MAILS))
    write(f"mails/{number:06}-{uuid.uuid4()}.json", json.dumps(kept).encode())


class Handler:
    seen = set()

    def first_time(self, address):
        is_first = address not in self.seen
        self.seen.add(address)
        return is_first

    def refusal(self, step, address):
        """The answer that the recipient's name asks for at this step, the first time."""
        words = address.partition("@")[0].split("-")
        if words[0] == step and self.first_time(address):
            return " ".join([*words[1:3], "refused, as the name says"])

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return "550 5.1.1 there is nobody of this name"
        if address.startswith("later") and self.first_time(address):
            return "451 4.7.1 come back later"
        if refusal := self.refusal("rcpt", address):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        address = envelope.rcpt_tos[0]
        if refusal := self.refusal("data", address):
            return refusal
        if address.startswith("slow"):
            await asyncio.sleep(3)
        keep(envelope, session)
        if address.startswith("lost") and self.first_time(address):
            server.transport.abort()
        return "250 2.0.0 taken"


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER, PASSWORD)
    return AuthResult(success=good, handled=False)


async def main():
    os.makedirs(MAILS, exist_ok=True)
    if not os.path.exists(os.path.join(FOLDER, "ca.pem")):
        make_certificates()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(os.path.join(FOLDER, "server.pem"))
    handler = Handler()

    def protocol():
        options = {"authenticator": authenticate, "auth_required": True, "enable_SMTPUTF8": True}
        if MODE == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        else:
            options |= {"auth_require_tls": False}
        return SMTP(handler, **options)

    loop = asyncio.get_running_loop()
    wrapped = context if MODE == "tls" else None
    server = await loop.create_server(protocol, "127.0.0.1", PORT, ssl=wrapped)
    await server.serve_forever()


asyncio.run(main())
