// tus.mjs - tus-js-client as its users have it, doing one thing for a test.
//
//     node tus.mjs CASE ENDPOINT FILE…      prints the upload's URL, one a file
//
// CUT and CHUNK are bytes, RATE bytes a second; STORAGE is where it remembers uploads between two runs.
import { createHash } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { basename } from "node:path";
import { PassThrough, Transform } from "node:stream";
import { DefaultHttpStack, Upload } from "tus-js-client";
import { FileUrlStorage } from "tus-js-client";

const [what, endpoint, ...files] = process.argv.slice(2);
const chunkSize = Number(process.env.CHUNK ?? 4 << 20);
const cut = Number(process.env.CUT ?? 0);

function options(file, more = {}) {
	return {
		endpoint,
		chunkSize,
		retryDelays: [0, 200, 1000, 3000],
		metadata: { filename: basename(file), filetype: "application/octet-stream" },
		urlStorage: new FileUrlStorage(process.env.STORAGE ?? "/dev/null"),
		storeFingerprintForResuming: process.env.STORAGE !== undefined,
		...more,
	};
}

// Settles when the upload ended; `begin` may resume it first.
function run(source, more, begin = async () => {}) {
	return new Promise((resolve, reject) => {
		const upload = new Upload(source, {
			...more,
			onError: reject,
			onSuccess: () => resolve(upload.url),
		});
		begin(upload).then(() => upload.start(), reject);
	});
}

// Ends in the middle, as a laptop's lid does; with `terminate` it also takes the upload back.
function stop(file, terminate) {
	return new Promise((resolve, reject) => {
		let stopped = false;
		const upload = new Upload(createReadStream(file), {
			...options(file),
			onError: reject,
			onSuccess: () => reject(new Error("it was not cut")),
			onProgress: (sent) => {
				if (sent >= cut && upload.url !== null && !stopped) {
					stopped = true;
					upload.abort(terminate).then(() => resolve(upload.url), reject);
				}
			},
		});
		upload.start();
	});
}

// Adds the checksum of each request's body, which tus-js-client leaves to its users.
class Checked extends DefaultHttpStack {
	createRequest(method, url) {
		const request = super.createRequest(method, url);
		const send = request.send.bind(request);
		request.send = (body) => {
			if (Buffer.isBuffer(body) || body instanceof Uint8Array) {
				const sum = createHash("sha1").update(body).digest("base64");
				request.setHeader("Upload-Checksum", `sha1 ${sum}`);
			}
			return send(body);
		};
		return request;
	}
}

// A line of its own for each body, as slow as RATE; all else is as tus-js-client has it.
class Slow extends DefaultHttpStack {
	createRequest(method, url) {
		const request = super.createRequest(method, url);
		const send = request.send.bind(request);
		const rate = Number(process.env.RATE);
		request.send = (body) => {
			const line = new Transform({
				transform: (bytes, _, next) => setTimeout(next, (1000 * bytes.length) / rate, null, bytes),
			});
			line.size = body?.size;
			return send(body?.pipe === undefined ? body : body.pipe(line));
		};
		return request;
	}
}

async function resume(upload) {
	const earlier = await upload.findPreviousUploads();
	if (earlier.length !== 1) {
		throw new Error(`${earlier.length} earlier uploads are remembered, not one`);
	}
	upload.resumeFromPreviousUpload(earlier[0]);
}

const cases = {
	upload: (file) => run(createReadStream(file), options(file)),
	cut: (file) => stop(file, false),
	resume: (file) => run(createReadStream(file), options(file), resume),
	terminate: (file) => stop(file, true),
	during: (file) => run(createReadStream(file), options(file, { uploadDataDuringCreation: true })),
	// Of a file's own stream tus-js-client never notices the end when the length is deferred.
	deferred: (file) => run(createReadStream(file).pipe(new PassThrough()), options(file, { uploadLengthDeferred: true })),
	override: (file) => run(createReadStream(file), options(file, { overridePatchMethod: true })),
	checksum: (file) => run(readFileSync(file), options(file, { httpStack: new Checked({}) })),
	// Nothing is set but where to and what: retries and the size of a chunk are the defaults.
	defaults: (file) =>
		run(createReadStream(file), {
			endpoint,
			metadata: { filename: basename(file) },
			...(process.env.RATE === undefined ? {} : { httpStack: new Slow({}) }),
			onAfterResponse: (request, response) => {
				if (response.getStatus() >= 300) {
					console.error(`${request.getMethod()} ${response.getStatus()}`);
				}
			},
		}),
	split: (file) => run(readFileSync(file), options(file, { parallelUploads: 2 })),
};

try {
	for (const url of await Promise.all(files.map((file) => cases[what](file)))) {
		console.log(url);
	}
	process.exit(0);
} catch (error) {
	console.error(String(error));
	process.exit(1);
}
