// The negative control: the real server, without the announcement of inline completion.
//   node deafServer.mjs PROGRAM ARGUMENT…
import { spawn } from "node:child_process";

const INLINE = "textDocument/inlineCompletion";
const [program, ...args] = process.argv.slice(2);
const server = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
process.stdin.pipe(server.stdin);
server.on("exit", (code) => process.exit(code ?? 1));

let bytes = Buffer.alloc(0);
server.stdout.on("data", (more) => {
  bytes = Buffer.concat([bytes, more]);
  for (let end = bytes.indexOf("\r\n\r\n"); end >= 0; end = bytes.indexOf("\r\n\r\n")) {
    const length = Number(/content-length: (\d+)/i.exec(bytes.subarray(0, end).toString())[1]);
    if (bytes.length < end + 4 + length) {
      return;
    }
    pass(JSON.parse(bytes.subarray(end + 4, end + 4 + length).toString()));
    bytes = bytes.subarray(end + 4 + length);
  }
});

function pass(message) {
  delete message.result?.capabilities?.inlineCompletionProvider;
  if (message.method === "client/registerCapability") {
    message.params.registrations = message.params.registrations.filter(({ method }) => method !== INLINE);
  }
  const body = Buffer.from(JSON.stringify(message));
  process.stdout.write(`Content-Length: ${body.length}\r\n\r\n`);
  process.stdout.write(body);
}
