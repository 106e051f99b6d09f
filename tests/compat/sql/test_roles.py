"""Who may log in by SQL: users of Redis and roles are one, with one password."""

import os
import socket
import struct
import tempfile
import time

import psycopg2
import server

from run import free_port


def expect(found, expected):
    if found != expected:
        raise AssertionError(f"{found!r:.400} instead of {expected!r:.400}")


class Strict(server.Server):
    def _orbit_arguments(self):
        return [flag for flag in super()._orbit_arguments() if flag != "--dev-mode"]


class Production:
    """A server that trusts nobody."""

    def __init__(self, password="secret"):
        self.sql_port = free_port()
        handle, self.password_file = tempfile.mkstemp(prefix="orbit-test-password-")
        with os.fdopen(handle, "w") as file:
            file.write(password)
        self.server = Strict(shards=2, extra=[
            "--postgres-port", str(self.sql_port), "--password-file", self.password_file])

    def __enter__(self):
        self.server.start()
        self.wait()
        return self

    def wait(self):
        """The port of SQL is opened last."""
        for _ in range(1000):
            try:
                socket.create_connection((server.HOST, self.sql_port), timeout=5).close()
                return
            except OSError:
                time.sleep(0.01)
        raise AssertionError("the port of SQL is not opened")

    def __exit__(self, *unused):
        self.server.close()
        os.unlink(self.password_file)

    def redis(self, *args, user="default", password="secret"):
        with server.Connection(self.server.port) as connection:
            connection.call("AUTH", user, password)
            return connection.call(*args)

    def connect(self, user, password):
        return psycopg2.connect(host=server.HOST, port=self.sql_port, user=user,
                                password=password, dbname="orbit")

    def refusal(self, user, password):
        try:
            self.connect(user, password).close()
        except psycopg2.OperationalError as error:
            return str(error).split("FATAL:")[-1].strip()
        return None

    def value(self, user, password, query):
        connection = self.connect(user, password)
        try:
            cursor = connection.cursor()
            cursor.execute(query)
            return cursor.fetchone()[0]
        finally:
            connection.close()


def failed(user):
    return f'password authentication failed for user "{user}"'


def passwords_decide_who_logs_in(unused):
    with Production() as there:
        expect(there.value("orbit", "secret", "SELECT current_user"), "orbit")
        expect(there.refusal("orbit", "wrong"), failed("orbit"))
        expect(there.refusal("nobody", "secret"), failed("nobody"))
        expect(there.refusal("default", "secret"), failed("default"))
        there.redis("ACL", "SETUSER", "ann", "on", ">pw1", "+orbit.sql", "~a:*", "+get", "+set")
        there.redis("ACL", "SETUSER", "ben", "on", ">pw2", "+get")
        expect(there.value("ann", "pw1", "SELECT session_user"), "ann")
        expect(there.refusal("ben", "wrong"), failed("ben"))
        expect(there.refusal("ben", "pw2").split("\n")[0],
               'permission denied for database "orbit"')
        there.redis("ACL", "SETUSER", "ann", "resetpass", ">pw3")
        expect(there.refusal("ann", "pw1"), failed("ann"))
        there.server.restart()
        there.wait()
        expect(there.value("ann", "pw3", "SELECT session_user"), "ann")
        expect(there.value("orbit", "secret", "SELECT 1"), 1)
        there.redis("ACL", "SETUSER", "ann", "off")
        expect(there.refusal("ann", "pw3"), 'role "ann" is not permitted to log in')


def sessions_end_with_their_user_and_its_rules_hold_in_them(unused):
    with Production() as there:
        there.redis("ACL", "SETUSER", "ann", "on", ">pw", "+orbit.sql", "~a:*", "+get", "+set")
        connection = there.connect("ann", "pw")
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("SELECT redis.call('SET', 'a:1', 'x')")
        for call in ["'GET', 'b:1'", "'DEL', 'a:1'"]:
            try:
                cursor.execute(f"SELECT redis.call({call})")
            except psycopg2.Error as error:
                expect(error.pgcode, "42501")
            else:
                raise AssertionError(f"{call} was allowed")
        there.redis("ACL", "DELUSER", "ann")
        try:
            cursor.execute("SELECT 1")
        except psycopg2.Error:
            pass
        else:
            raise AssertionError("the session goes on without its user")
        connection.close()
        expect(there.refusal("ann", "pw"), failed("ann"))


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


def sasl(first, mechanism=b"SCRAM-SHA-256"):
    return message(b"p", mechanism + b"\0" + struct.pack("!I", len(first)) + first)


def answer(port, sent):
    """What the server says to messages after the startup: types and texts, to its end."""
    with socket.create_connection((server.HOST, port), timeout=20) as sock:
        body = struct.pack("!I", 196608) + b"user\0orbit\0\0"
        sock.sendall(struct.pack("!I", len(body) + 4) + body + sent)
        got = b""
        while chunk := sock.recv(65536):
            got += chunk
        return got


def malformed_messages_are_refused(unused):
    first = b"n,,n=,r=abc"
    cases = [
        (message(b"Q", b"SELECT 1\0"), b"expected SASL response, got message type 81"),
        (message(b"p", b""), b"invalid message format"),
        (sasl(first, b"SCRAM-SHA-1"), b"invalid SASL authentication mechanism"),
        (sasl(b""), b"The message is empty."),
        (sasl(b"n,,n=,r="), b"non-printable characters in SCRAM nonce"),
        (sasl(b"n,,n=,r=a\x01c"), b"non-printable characters in SCRAM nonce"),
        (sasl(b"n,,n=\0,r=abc"), b"Message length does not match input length."),
        (sasl(b"n,a=x,n=,r=abc"), b"client uses authorization identity"),
        (sasl(b"n,,m=x,n=,r=abc"), b"client requires an unsupported SCRAM extension"),
        (sasl(b"p=tls-unique,,n=,r=abc"), b"without channel binding"),
        (sasl(b"q,,n=,r=abc"), b"malformed SCRAM message"),
        (sasl(b"n,,r=abc"), b"malformed SCRAM message"),
        (sasl(b"n,,n"), b"malformed SCRAM message"),
        (sasl(first) + message(b"p", b"c=biws,r=abc,p=AAAA"), b"Malformed proof"),
        (sasl(first) + message(b"p", b"c=biws,r=abc,p=" + b"A" * 43 + b"="),
         b"Nonce does not match."),
        (sasl(first) + message(b"p", b"c=xxxx,r=abc"), b"channel-binding attribute"),
        (sasl(first) + message(b"p", b"c=biws,r=abc,"), b"malformed SCRAM message"),
        (sasl(first) + message(b"p", b"c=biws"), b"malformed SCRAM message"),
        (b"p" + struct.pack("!I", 5000), b"invalid message length"),
    ]
    with Production() as there:
        for sent, expected in cases:
            got = answer(there.sql_port, sent)
            if expected not in got:
                raise AssertionError(f"{sent!r}: {got!r:.400} has no {expected!r}")
        expect(there.value("orbit", "secret", "SELECT 1"), 1)


CASES = [passwords_decide_who_logs_in, sessions_end_with_their_user_and_its_rules_hold_in_them,
         malformed_messages_are_refused]
