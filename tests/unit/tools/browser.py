# SPDX-License-Identifier: MIT
"""A headless Chromium with one page, controlled over the DevTools protocol through two pipes.

It opens no port and needs no package but the browser. Console output of the page, and all requested
addresses, are kept.
"""
import json
import os
import select
import shutil
import subprocess
import time

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE_SECONDS = 120


class Page:
    def __init__(self, directory):
        to_browser, self.writing = os.pipe()
        self.reading, from_browser = os.pipe()

        def pipes_place():
            # The browser reads from 3 and writes to 4; the ends may be these numbers already.
            low, high = os.dup(to_browser), os.dup(from_browser)
            low, high = (os.dup(end) for end in (low, high))
            spare = [os.dup(end) for end in (low, high)]
            os.dup2(spare[0], 3)
            os.dup2(spare[1], 4)

        self.process = subprocess.Popen(
            [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--remote-debugging-pipe", "--no-first-run", "--disable-extensions",
             "--disable-background-networking", "--disable-component-update",
             "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
             f"--user-data-dir={directory}/profile", "about:blank"],
            close_fds=False, preexec_fn=pipes_place, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": directory})
        os.close(to_browser)
        os.close(from_browser)
        self.buffer, self.number, self.session = b"", 0, None
        self.complaints, self.requests, self.loaded = [], [], set()
        target = next(one for one in self.call("Target.getTargets")["targetInfos"]
                      if one["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"],
                                 flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.reading)
        os.close(self.writing)

    def _message(self):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while b"\0" not in self.buffer:
            ready = select.select([self.reading], [], [], deadline - time.monotonic())[0]
            data = os.read(self.reading, 1 << 20) if ready else b""
            if not data:
                raise RuntimeError("the browser does not answer")
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def _note(self, message):
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Page.lifecycleEvent" and parameters["name"] == "load":
            self.loaded.add(parameters["loaderId"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description",
                                                                    details["text"]))
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(str(parameters["args"]))
        elif method == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def load(self, address, scripts=True):
        """Loads an address and waits until all scripts ran; the previous document may still finish
        its own loading meanwhile."""
        self.complaints, self.requests = [], []
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        document = self.call("Page.navigate", url=address).get("loaderId")
        while document and document not in self.loaded:
            self._note(self._message())

    def evaluate(self, expression):
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression, patience=PATIENCE_SECONDS):
        """The value of an expression, once it is true."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            value = self.evaluate(expression)
            if value:
                return value
            time.sleep(0.1)
        raise RuntimeError(f"never true: {expression}")

    def key(self, name, text=""):
        """Presses a key in the focused element."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name,
                      **({"text": text} if text and kind == "keyDown" else {}))

    def media(self, kind="", scheme="light"):
        self.call("Emulation.setEmulatedMedia", media=kind,
                  features=[{"name": "prefers-color-scheme", "value": scheme}])

    def size(self, width, height=900):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)
