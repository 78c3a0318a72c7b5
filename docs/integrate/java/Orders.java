// Orders, a service beside Signet with nothing but the JDK (17 or newer): its HTTP server, its HTTP
// client, its cryptography.
//
//   ISSUER=https://id.example.com AUDIENCE=https://orders.example.com \
//   CLIENT_ID=orders CLIENT_SECRET=… java Orders.java
//
// Reading is by the token alone. Before anything is deleted, Signet is asked whether the token is still
// alive (RFC 7662).
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.math.BigInteger;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.RSAPublicKeySpec;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.ReentrantLock;

public final class Orders {
    private static final Map<String, String> ORDERS =
        new ConcurrentHashMap<>(Map.of("1", "two otters", "2", "a tractor"));

    public static void main(String[] arguments) throws Exception {
        Map<String, String> settings = System.getenv();
        int port = Integer.parseInt(settings.getOrDefault("PORT", "3000"));
        Issuer issuer = new Issuer(settings.get("ISSUER"), settings.get("CLIENT_ID"),
            settings.get("CLIENT_SECRET"));
        AccessTokens tokens = new AccessTokens(issuer, settings.get("AUDIENCE"));
        HttpServer server =
            HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.createContext("/", exchange -> {
            try (exchange) {
                handle(exchange, tokens);
            }
        });
        server.start();
    }

    private static void handle(HttpExchange exchange, AccessTokens tokens) throws IOException {
        try {
            serve(exchange, tokens);
        } catch (Refused refused) {
            if (refused.challenge != null) {
                exchange.getResponseHeaders().set("WWW-Authenticate", refused.challenge);
            }
            if (refused.status == 503) {
                exchange.getResponseHeaders().set("Retry-After", "1");
            }
            answer(exchange, refused.status, refused.getMessage());
        } catch (RuntimeException failure) {
            failure.printStackTrace();
            answer(exchange, 500, "a failure");
        }
    }

    private static void serve(HttpExchange exchange, AccessTokens tokens)
            throws IOException, Refused {
        String path = exchange.getRequestURI().getPath();
        List<String> header = exchange.getRequestHeaders().get("Authorization");
        AccessToken token = tokens.check(header == null ? "" : header.get(0));
        switch (exchange.getRequestMethod() + " " + path.replaceFirst("[^/]+$", "*")) {
            case "GET /*" -> {
                token.requireScope("orders:read");
                answer(exchange, 200, ORDERS.values().toString());
            }
            case "DELETE /orders/*" -> {
                token.requireRole("manager");
                tokens.requireAlive(token);
                ORDERS.remove(path.substring("/orders/".length()));
                exchange.sendResponseHeaders(204, -1);
            }
            default -> answer(exchange, 404, "there is no such thing");
        }
    }

    private static void answer(HttpExchange exchange, int status, String text) throws IOException {
        byte[] body = (text + "\n").getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "text/plain; charset=utf-8");
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
    }
}

/** Why a request is not served: the status, a sentence, and the challenge of RFC 6750 section 3. */
final class Refused extends Exception {
    final int status;
    final String challenge;

    private Refused(int status, String detail, String challenge) {
        super(detail, null, false, false);
        this.status = status;
        this.challenge = challenge;
    }

    /** Without credentials there is no error to speak of, so there is none in the challenge. */
    static Refused noToken() {
        return new Refused(401, "a token is needed", "Bearer realm=\"orders\"");
    }

    static Refused invalidToken() {
        return new Refused(401, "the token is not valid",
            "Bearer realm=\"orders\", error=\"invalid_token\"");
    }

    static Refused scope(String word) {
        return new Refused(403, "the token lacks the scope " + word,
            "Bearer realm=\"orders\", error=\"insufficient_scope\", scope=\"" + word + "\"");
    }

    /** No other token would help, so there is no challenge. */
    static Refused role(String role) {
        return new Refused(403, "only for the role " + role, null);
    }

    /** Nothing is wrong with the token: at a 401 the client would discard it. */
    static Refused unavailable() {
        return new Refused(503, "tokens cannot be verified now", null);
    }
}

/** A valid token, whether or not it is revoked. */
record AccessToken(String token, Map<?, ?> claims) {
    void requireScope(String word) throws Refused {
        Object scope = claims.get("scope");
        if (!(scope instanceof String words) || !Arrays.asList(words.split(" ")).contains(word)) {
            throw Refused.scope(word);
        }
    }

    void requireRole(String role) throws Refused {
        if (!(claims.get("roles") instanceof List<?> roles) || !roles.contains(role)) {
            throw Refused.role(role);
        }
    }
}

/** Verifies access tokens by RFC 9068. */
record AccessTokens(Issuer issuer, String audience) {
    /** Seconds that clocks may differ. */
    private static final long LEEWAY = 60;
    private static final int LONGEST_TOKEN = 16 * 1024;

    /** The token in an Authorization header. */
    AccessToken check(String authorization) throws Refused {
        String[] words = authorization.trim().split(" +", 2);
        if (!words[0].equalsIgnoreCase("Bearer")) {
            throw Refused.noToken();
        }
        String token = words.length == 2 ? words[1] : "";
        try {
            return new AccessToken(token, verify(token));
        } catch (GeneralSecurityException | IllegalArgumentException | ClassCastException invalid) {
            throw Refused.invalidToken();
        } catch (IOException away) {
            throw Refused.unavailable();
        }
    }

    private Map<?, ?> verify(String token) throws GeneralSecurityException, IOException {
        String[] parts = token.split("\\.", -1);
        require(parts.length == 3 && token.length() <= LONGEST_TOKEN);
        Map<?, ?> header = (Map<?, ?>) Json.read(decode(parts[0]));
        // The algorithm is the issuer's keys.algorithm, never the token's. And Signet signs other things
        // than access tokens, with the same keys: typ differs.
        require("RS256".equals(header.get("alg")) && "at+jwt".equals(header.get("typ")));
        require(!header.containsKey("crit"));
        Signature signature = Signature.getInstance("SHA256withRSA");
        signature.initVerify(issuer.key((String) header.get("kid")));
        signature.update((parts[0] + "." + parts[1]).getBytes(StandardCharsets.US_ASCII));
        require(signature.verify(Base64.getUrlDecoder().decode(parts[2])));

        Map<?, ?> claims = (Map<?, ?>) Json.read(decode(parts[1]));
        Object aud = claims.get("aud");
        double now = Instant.now().getEpochSecond();
        require(issuer.name().equals(claims.get("iss")));
        require(audience.equals(aud) || aud instanceof List<?> list && list.contains(audience));
        require(claims.get("exp") instanceof Double exp && now < exp + LEEWAY);
        require(claims.get("iat") instanceof Double iat && iat - LEEWAY <= now);
        for (String name : List.of("sub", "jti", "client_id")) {
            require(claims.get(name) instanceof String);
        }
        return claims;
    }

    /** Asks Signet whether the token was revoked. */
    void requireAlive(AccessToken token) throws Refused {
        try {
            if (!issuer.isAlive(token.token())) {
                throw Refused.invalidToken();
            }
        } catch (IOException away) {
            throw Refused.unavailable();
        }
    }

    private static void require(boolean holds) throws GeneralSecurityException {
        if (!holds) {
            throw new GeneralSecurityException("not valid");
        }
    }

    private static String decode(String part) {
        return new String(Base64.getUrlDecoder().decode(part), StandardCharsets.UTF_8);
    }
}

/** Signet: its keys, fetched when need be, and its word on a token. */
final class Issuer {
    /** For so long keys are good: Signet's keys.jwks_max_age. */
    private static final long LIFETIME = Duration.ofMinutes(10).toNanos();
    /** Whoever makes up kids is not to make this a nuisance to Signet. */
    private static final long BETWEEN_FETCHES = Duration.ofSeconds(30).toNanos();
    private static final long SECOND = Duration.ofSeconds(1).toNanos();

    private final HttpClient http =
        HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5)).build();
    private final String name;
    private final String basic;
    private final String introspectionEndpoint;
    private final String jwksUri;
    private final ReentrantLock fetching = new ReentrantLock();
    private volatile Map<String, PublicKey> keys = Map.of();
    private volatile long fetchedAt;
    private volatile long triedAt;

    Issuer(String name, String clientId, String secret)
            throws IOException, GeneralSecurityException {
        this.name = name;
        Map<?, ?> metadata = get(name + "/.well-known/oauth-authorization-server");
        if (!name.equals(metadata.get("issuer"))) {
            throw new IOException("the metadata are those of " + metadata.get("issuer"));
        }
        jwksUri = (String) metadata.get("jwks_uri");
        introspectionEndpoint = (String) metadata.get("introspection_endpoint");
        String credentials = encode(clientId) + ":" + encode(secret);
        basic = "Basic "
            + Base64.getEncoder().encodeToString(credentials.getBytes(StandardCharsets.UTF_8));
        fetch();
    }

    String name() {
        return name;
    }

    /** One caller fetches, and seldom; the others go on with the keys that there are. */
    PublicKey key(String kid) throws GeneralSecurityException, IOException {
        long now = System.nanoTime();
        long age = now - fetchedAt;
        long between = age < LIFETIME ? BETWEEN_FETCHES : SECOND;
        if ((!keys.containsKey(kid) || age > LIFETIME / 2) && fetching.tryLock()) {
            try {
                if (System.nanoTime() - triedAt > between) {
                    fetch();
                }
            } catch (IOException away) {
                System.err.println("no keys: " + away);
            } finally {
                fetching.unlock();
            }
        }
        PublicKey key = keys.get(kid);
        // A fetch that failed or is under way could have brought it.
        boolean unknown = key == null && triedAt - fetchedAt > 0;
        if (unknown || System.nanoTime() - fetchedAt > LIFETIME) {
            throw new IOException("the keys cannot be had");
        }
        if (key == null) {
            throw new GeneralSecurityException("an unknown key");
        }
        return key;
    }

    private void fetch() throws GeneralSecurityException, IOException {
        triedAt = System.nanoTime();
        Map<String, PublicKey> fetched = new HashMap<>();
        for (Object item : (List<?>) get(jwksUri).get("keys")) {
            Map<?, ?> jwk = (Map<?, ?>) item;
            if ("RSA".equals(jwk.get("kty"))) {
                RSAPublicKeySpec spec = new RSAPublicKeySpec(number(jwk, "n"), number(jwk, "e"));
                fetched.put((String) jwk.get("kid"),
                    KeyFactory.getInstance("RSA").generatePublic(spec));
            }
        }
        keys = fetched;
        fetchedAt = System.nanoTime();
    }

    /** Introspection. A refresh token may be active too, but opens nothing: it is not a Bearer. */
    boolean isAlive(String token) throws IOException {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(introspectionEndpoint))
            .header("Authorization", basic)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .POST(HttpRequest.BodyPublishers.ofString("token=" + encode(token)));
        Map<?, ?> answer = send(request);
        return Boolean.TRUE.equals(answer.get("active")) && "Bearer".equals(answer.get("token_type"));
    }

    private Map<?, ?> get(String uri) throws IOException {
        return send(HttpRequest.newBuilder(URI.create(uri)));
    }

    private Map<?, ?> send(HttpRequest.Builder request) throws IOException {
        CompletableFuture<HttpResponse<String>> sent =
            http.sendAsync(request.build(), HttpResponse.BodyHandlers.ofString());
        try {
            // The request's own time limit would end with the headers.
            HttpResponse<String> answer = sent.get(5, TimeUnit.SECONDS);
            if (answer.statusCode() != 200) {
                throw new IOException(answer.uri() + " answers " + answer.statusCode());
            }
            return (Map<?, ?>) Json.read(answer.body());
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw new IOException(interrupted);
        } catch (ExecutionException | TimeoutException | IllegalArgumentException failed) {
            throw new IOException(failed);
        } finally {
            // Closes the connection where the answer is still to come.
            sent.cancel(true);
        }
    }

    private static BigInteger number(Map<?, ?> jwk, String member) {
        return new BigInteger(1, Base64.getUrlDecoder().decode((String) jwk.get(member)));
    }

    private static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }
}

/** As much JSON as is needed: maps, lists, strings, doubles, booleans and null. */
final class Json {
    private static final int DEEPEST = 16;

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    static Object read(String text) {
        Json json = new Json(text);
        Object value = json.value(0);
        if (json.peek() != '\0') {
            throw json.wrong();
        }
        return value;
    }

    private Object value(int depth) {
        if (depth > DEEPEST) {
            throw wrong();
        }
        switch (peek()) {
            case '{':
                Map<String, Object> map = new HashMap<>();
                for (boolean more = begins('}'); more; more = goesOn('}')) {
                    String name = string();
                    take(':');
                    map.put(name, value(depth + 1));
                }
                return map;
            case '[':
                List<Object> list = new ArrayList<>();
                for (boolean more = begins(']'); more; more = goesOn(']')) {
                    list.add(value(depth + 1));
                }
                return list;
            case '"':
                return string();
            default:
                return word();
        }
    }

    /** Steps into a map or list; whether there is anything in it. */
    private boolean begins(char end) {
        at += 1;
        return !skip(end);
    }

    /** Steps over a comma or out of the map or list; whether there is more in it. */
    private boolean goesOn(char end) {
        if (skip(end)) {
            return false;
        }
        take(',');
        return true;
    }

    private Object word() {
        int start = at;
        while (at < text.length() && ",]} \t\r\n".indexOf(text.charAt(at)) < 0) {
            at += 1;
        }
        String word = text.substring(start, at);
        switch (word) {
            case "true": return true;
            case "false": return false;
            case "null": return null;
            default:
                if (!word.matches("-?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)?")) {
                    throw wrong();
                }
                return Double.valueOf(word);
        }
    }

    private String string() {
        take('"');
        StringBuilder string = new StringBuilder();
        while (at < text.length() && text.charAt(at) != '"') {
            char next = text.charAt(at++);
            string.append(next == '\\' ? escaped() : next);
        }
        take('"');
        return string.toString();
    }

    private char escaped() {
        char escape = at < text.length() ? text.charAt(at++) : '\0';
        int plain = "\"\\/bfnrt".indexOf(escape);
        if (plain >= 0) {
            return "\"\\/\b\f\n\r\t".charAt(plain);
        }
        if (escape != 'u' || at + 4 > text.length()) {
            throw wrong();
        }
        at += 4;
        return (char) Integer.parseInt(text.substring(at - 4, at), 16);
    }

    private boolean skip(char expected) {
        boolean there = peek() == expected;
        at += there ? 1 : 0;
        return there;
    }

    private void take(char expected) {
        if (!skip(expected)) {
            throw wrong();
        }
    }

    /** The next character that is no space; NUL at the end. */
    private char peek() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at += 1;
        }
        return at < text.length() ? text.charAt(at) : '\0';
    }

    private IllegalArgumentException wrong() {
        return new IllegalArgumentException("no JSON at " + at);
    }
}
