/** Methods of requests. One that nobody knows may mean anything to a server. */

const METHODS: ReadonlySet<string> = new Set(
  (
    "GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE QUERY COPY MOVE LOCK UNLOCK MKCOL PROPFIND PROPPATCH " +
    "SEARCH REPORT MKACTIVITY CHECKOUT MERGE ACL BIND REBIND UNBIND LINK UNLINK MKCALENDAR NOTIFY SUBSCRIBE UNSUBSCRIBE " +
    "PURGE SOURCE M-SEARCH"
  ).split(" "),
);

/** Whether a method is one of HTTP. */
export function isMethod(method: string): boolean {
  return METHODS.has(method);
}
