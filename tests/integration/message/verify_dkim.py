# Verifies mails by dkimpy. Standard input: a line of JSON, { name: TXT }, then
# for each mail a line with its length, and the mail. Out: for each mail a line
# of JSON, [true or false, ...], one for each DKIM-Signature from the top.
import json
import sys

import dkim

data = sys.stdin.buffer
zone = {name: text.encode() for name, text in json.loads(data.readline()).items()}


def txt(name, timeout=5):
    return zone.get(name.decode().rstrip('.'))


def passes(mail, index):
    try:
        return bool(dkim.DKIM(mail).verify(idx=index, dnsfunc=txt))
    except Exception:  # dkim's own, and those of what it stands on
        return False


while length := data.readline():
    mail = data.read(int(length))
    count = sum(name.lower() == b'dkim-signature'
                for name, _ in dkim.DKIM(mail).headers)
    print(json.dumps([passes(mail, index) for index in range(count)]))
