// Runs a page that was saved: what the page asks for is answered from the file itself.
"use strict";
(() => {
  const DATA = /\/neuroglancer\/(raw|info|mesh|multires|skeletoninfo|skeleton|files)\/.*$/;
  const NOTHING = { mesh: 4, skeleton: 8 }; // bytes, of an object that was not saved
  const VOXELS = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array };
  const page = JSON.parse(document.getElementById("page").textContent);
  const encoder = new TextEncoder();
  const kept = new Map();

  // The bytes of a part of the file.
  function part(name) {
    if (!kept.has(name)) kept.set(name, unpack(document.getElementById(name)));
    return kept.get(name);
  }

  async function unpack(element) {
    const text = atob(element.textContent);
    element.remove();
    const packed = new Uint8Array(text.length);
    for (let i = 0; i < packed.length; ++i) packed[i] = text.charCodeAt(i);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  // The voxels of a box at a scale, taken from those that were saved: the nearest to each.
  function chunk(volume, bytes, scale, start, end) {
    const voxels = new VOXELS[volume.itemsize](bytes.buffer);
    let stride = 1;
    const places = volume.shape.map((size, axis) => {
      const found = new Int32Array(end[axis] - start[axis]);
      for (let i = 0; i < found.length; ++i) {
        const place = Math.floor(((start[axis] + i + 0.5) * scale[axis]) / volume.step[axis]);
        found[i] = Math.min(place, size - 1) * stride;
      }
      stride *= size;
      return found;
    });
    const out = new voxels.constructor(places.reduce((count, one) => count * one.length, 1));
    let at = 0;
    const walk = (axis, base) => {
      if (axis) for (const place of places[axis]) walk(axis - 1, base + place);
      else for (const place of places[0]) out[at++] = voxels[base + place];
    };
    walk(places.length - 1, 0);
    return new Uint8Array(out.buffer);
  }

  // What the server would have answered: status and bytes.
  async function answer(path, range) {
    const [kind, key, ...rest] = decodeURIComponent(path).split("/").slice(2);
    const volume = page.volumes[key];
    if (kind === "raw") {
      if (!volume) return [404, null];
      const box = rest.map((numbers) => numbers.split(",").map(Number));
      return [200, chunk(volume, await part(volume.part), ...box)];
    }
    const last = rest[rest.length - 1];
    const folder = `/neuroglancer/${kind}/${key}/`; // of several resolutions, whatever generation
    let name = page.files[kind === "multires" ? folder + last : path];
    if (name === undefined && /\.index$/.test(last)) name = page.files[`${folder}nothing`];
    if (name === undefined)
      return kind in NOTHING ? [200, new Uint8Array(NOTHING[kind])] : [404, null];
    const whole = await part(name);
    const asked = /^bytes=(\d+)-(\d+)$/.exec(range || "");
    return asked ? [206, whole.slice(+asked[1], +asked[2] + 1)] : [200, whole.slice()];
  }

  // Have the client ask here, in the page as in each of its workers.  An address made in one of
  // them is of no use in another: the files are handed on, and each makes addresses of its own.
  function divert(scope, files, found, data) {
    const { fetch, Worker } = scope;
    const file = (address) => files[address.slice(address.lastIndexOf("/") + 1)];
    const own = (address) => file(address) && URL.createObjectURL(file(address));
    scope.fetch = async (request, init) => {
      const address = String(request.url || request);
      const path = data.exec(address);
      if (!path) return fetch(own(address) || request, init);
      const headers = new Headers((init && init.headers) || request.headers);
      const [status, bytes] = await found(path[0], headers.get("range"));
      return Object.defineProperty(new Response(bytes, { status }), "url", { value: address });
    };
    scope.Worker = class extends Worker {
      constructor(address) {
        const text = `(${prepare})(${divert}, ${data});`;
        super(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = async ({ data: [number, path, range] }) => {
          const [status, bytes] = await found(path, range);
          port1.postMessage([number, status, bytes], bytes ? [bytes.buffer] : []);
        };
        this.postMessage({ port: port2, files, script: String(address) }, [port2]);
      }
    };
    if (scope.importScripts) {
      const { importScripts } = scope;
      scope.importScripts = (...names) => importScripts(...names.map((name) => own(name) || name));
    }

    // What a worker begins with: its first message is from here, and the client hears the others.
    function prepare(divert, data) {
      const first = (event) => {
        removeEventListener("message", first);
        event.stopImmediatePropagation();
        const { port, files, script } = event.data;
        const waiting = new Map();
        port.onmessage = ({ data: [number, ...answer] }) => {
          waiting.get(number)(answer);
          waiting.delete(number);
        };
        let count = 0;
        const found = (path, range) =>
          new Promise((resolve) => {
            waiting.set(++count, resolve);
            port.postMessage([count, path, range]);
          });
        divert(self, files, found, data);
        self.importScripts(script);
      };
      addEventListener("message", first);
    }
  }

  // In place of the stream of states: the one that was saved.
  class Events {
    constructor(address) {
      const asked = new URL(address).searchParams;
      setTimeout(() => {
        if (this.onopen) this.onopen({});
        for (const k of ["s", "c"])
          if (asked.has(`g${k}`)) this.onmessage({ data: JSON.stringify({ k, s: page[k], g: "saved" }) });
      });
    }
    close() {}
  }

  async function start() {
    const files = {};
    for (const [name, { part: place, type }] of Object.entries(page.client))
      files[name] = new Blob([await part(place)], { type });
    kept.clear();
    divert(window, files, answer, DATA);
    const fetch = window.fetch;
    window.fetch = async (request, init) => {
      const address = String(request.url || request);
      if (!address.startsWith(page.here) || DATA.test(address)) return fetch(request, init);
      const { c, g } = JSON.parse(init.body);
      return new Response(encoder.encode(JSON.stringify({ g: `${c}/${g}` })));
    };
    window.EventSource = Events;
    for (const name of page.styles) {
      const link = document.createElement("link");
      Object.assign(link, { rel: "stylesheet", href: URL.createObjectURL(files[name]) });
      document.head.append(link);
    }
    for (const name of page.scripts) {
      const script = document.createElement("script");
      Object.assign(script, { async: false, src: URL.createObjectURL(files[name]) });
      document.head.append(script);
    }
    const picture = document.getElementById("picture");
    const watch = setInterval(() => {
      const viewer = window.viewer;
      if (!viewer || viewer.layerManager.managedLayers.length < page.s.layers.length) return;
      if (!viewer.isReady()) return;
      clearInterval(watch);
      if (picture) picture.remove();
    }, 100);
  }
  start();
})();
