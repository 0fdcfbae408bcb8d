declare module 'kafkajs-snappy' {
  /** Raw Snappy, and the framed form that Java writes. */
  export default function codec(): {
    compress(encoder: { readonly buffer: Buffer }): Promise<Buffer>;
    decompress(buffer: Buffer): Promise<Buffer>;
  };
}

declare module 'lz4js' {
  const library: {
    /** One LZ4 frame; throws if it is none. */
    decompress(frame: Uint8Array): Uint8Array;
  };
  export default library;
}
