// The part of zod's types that the package's own types are inferred from, so that the package needs no zod. Schemas are opaque here;
// only what they parse into counts. Copied beside the emitted types, which import it in place of "zod/mini".

/** A schema that parses into `O`. */
export interface ZodMiniType<O = unknown, _I = unknown, _X = unknown> {
  readonly _zod: { readonly output: O };
}
type Out<T> = T extends ZodMiniType<infer O> ? O : never;

export type { Out as infer };

export interface ZodMiniString<_I = unknown> extends ZodMiniType<string> {}
export interface ZodMiniNumber<_I = unknown> extends ZodMiniType<number> {}
export interface ZodMiniInt extends ZodMiniType<number> {}
export interface ZodMiniBoolean<_I = unknown> extends ZodMiniType<boolean> {}
export interface ZodMiniUnknown extends ZodMiniType<unknown> {}
export interface ZodMiniLiteral<T> extends ZodMiniType<T> {}
export interface ZodMiniEnum<T> extends ZodMiniType<T[keyof T]> {}
export interface ZodMiniOptional<T> extends ZodMiniType<Out<T> | undefined> {
  readonly isOptional: true;
}
export interface ZodMiniNullable<T> extends ZodMiniType<Out<T> | null> {}
export interface ZodMiniCatch<T> extends ZodMiniType<Out<T>> {}
export interface ZodMiniArray<T> extends ZodMiniType<Out<T>[]> {}
export interface ZodMiniRecord<K, V>
  extends ZodMiniType<Record<Out<K> extends PropertyKey ? Out<K> : never, Out<V>>> {}
export interface ZodMiniUnion<T extends readonly unknown[]> extends ZodMiniType<Out<T[number]>> {}
export interface ZodMiniDiscriminatedUnion<T extends readonly unknown[], _D = string>
  extends ZodMiniType<Out<T[number]>> {}
export interface ZodMiniPipe<_A, B> extends ZodMiniType<Out<B>> {}
export interface ZodMiniTransform<O, _I = unknown> extends ZodMiniType<O> {}

type OptionalKeys<S> = {
  [K in keyof S]: S[K] extends { readonly isOptional: true } ? K : never;
}[keyof S];
type Flat<T> = { [K in keyof T]: T[K] };
export interface ZodMiniObject<S, _C = unknown>
  extends ZodMiniType<
    Flat<
      { -readonly [K in Exclude<keyof S, OptionalKeys<S>>]: Out<S[K]> } & {
        -readonly [K in OptionalKeys<S>]?: Out<S[K]>;
      }
    >
  > {}

export namespace core {
  type $strict = Record<never, never>;
  type $strip = Record<never, never>;
}
