"""Reads mails with Python's email package and prints what is in them.

Standard input: frames of a line with a length and so many bytes. Standard
output: a JSON object a line.
"""
import email
import email.policy
import hashlib
import json
import sys
from email.utils import parsedate_to_datetime


def boxes(message, name):
    if message[name] is None:
        return []
    return [{"name": box.display_name, "address": box.addr_spec}
            for box in message[name].addresses]


def body(part):
    if part is None:
        return None
    return part.get_payload(decode=True).decode("utf-8")


def file(part):
    content = part.get_payload(decode=True)
    return {
        "name": part.get_filename(),
        "type": part.get_content_type(),
        "id": (part["content-id"] or "").strip("<>"),
        "sha": hashlib.sha256(content).hexdigest(),
    }


def read(octets):
    message = email.message_from_bytes(octets, policy=email.policy.default)
    bodies = {"text/plain": None, "text/html": None}
    files = []
    defects = list(message.defects)
    for part in message.walk():
        defects += part.defects
        if part.is_multipart():
            continue
        if part.get_content_disposition() is None:
            bodies[part.get_content_type()] = part
        else:
            files.append(file(part))
    return {
        "from": boxes(message, "from"), "to": boxes(message, "to"),
        "cc": boxes(message, "cc"), "replyTo": boxes(message, "reply-to"),
        "subject": message["subject"], "note": message["x-note"],
        "messageId": message["message-id"],
        "date": parsedate_to_datetime(message["date"]).timestamp(),
        "text": body(bodies["text/plain"]), "html": body(bodies["text/html"]),
        "files": files, "defects": [type(defect).__name__
                                    for defect in defects],
    }


while True:
    line = sys.stdin.buffer.readline()
    if not line:
        break
    print(json.dumps(read(sys.stdin.buffer.read(int(line)))))
