declare module 'kafkajs-snappy' {
  /** Returns a codec for raw Snappy and for the framed format that Java writes. */
  export default function codec(): {
    compress(encoder: { readonly buffer: Buffer }): Promise<Buffer>;
    decompress(buffer: Buffer): Promise<Buffer>;
  };
}

declare module 'lz4js' {
  const library: {
    /** Decompresses one LZ4 frame; throws if it is invalid. */
    decompress(frame: Uint8Array): Uint8Array;
  };
  export default library;
}
