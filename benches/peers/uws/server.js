"use strict";

// uWebSockets.js with the engine's two benchmark routes: /echo answers each message with itself, /raw/ROOM passes it
// on to the others in the room.
//
//   node server.js --port 9001 --cpu 0 [--to others|all]

const { execFileSync } = require("node:child_process");
const { parseArgs } = require("node:util");

const MIB = 1024 * 1024;

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "9001" },
    cpu: { type: "string" },
    // "all" includes the sender, for comparing with servers that cannot leave it out.
    to: { type: "string", default: "others" },
  },
});

function fail(message) {
  console.error(`uws: ${message}`);
  process.exit(1);
}

// The package falls back to a slow imitation in JavaScript, which would be measured under uWebSockets' name.
function requireNative() {
  const name = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;
  try {
    return require(`@trufflesuite/uws-js-unofficial/binaries/${name}`);
  } catch (error) {
    return fail(`no prebuilt ${name} (${error.code}): run "npm ci" in this folder, with node 18 or 20 on Linux`);
  }
}

// The limits are wide, so that a burst is measured and not dropped.
const limits = {
  maxPayloadLength: 64 * MIB,
  maxBackpressure: 64 * MIB,
  closeOnBackpressureLimit: true,
  idleTimeout: 0,
  sendPingsAutomatically: false,
};

if (options.to !== "others" && options.to !== "all") {
  fail(`--to ${options.to}: give "others" or "all"`);
}
const uws = requireNative();
if (options.cpu !== undefined) {
  // Node cannot pin itself; -a takes along the threads that it has started already.
  execFileSync("taskset", ["-a", "-c", "-p", options.cpu, String(process.pid)], { stdio: "ignore" });
}

const app = uws.App();
app.ws("/echo", {
  ...limits,
  compression: uws.DISABLED,
  message: (socket, message, isBinary) => {
    socket.send(message, isBinary, false);
  },
});
app.ws("/raw/:room", {
  ...limits,
  compression: uws.DISABLED,
  upgrade: (response, request, context) => {
    response.upgrade(
      { room: request.getParameter(0) },
      request.getHeader("sec-websocket-key"),
      request.getHeader("sec-websocket-protocol"),
      request.getHeader("sec-websocket-extensions"),
      context,
    );
  },
  open: (socket) => {
    socket.subscribe(socket.getUserData().room);
  },
  message: (socket, message, isBinary) => {
    const from = options.to === "all" ? app : socket;
    from.publish(socket.getUserData().room, message, isBinary, false);
  },
});

app.listen("127.0.0.1", Number(options.port), (listener) => {
  if (!listener) {
    fail(`cannot listen on 127.0.0.1:${options.port}: choose another --port`);
  }
  console.error(`uws: listening on 127.0.0.1:${options.port}`);
});
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => process.exit(0));
}
