#!/usr/bin/perl

# What the gateway answers programs: every refusal is JSON or XML, with status 4xx or
# 5xx; logins by GET and as multipart/form-data.

use strict;
use warnings;
use lib 't/lib';
use JSON::PP ();
use Test::More;
use Gateway qw(answer_of ask cookie_of env_of gateway header_of);
use Test::Cpanel::LogMeIn;

my $site = Test::Cpanel::LogMeIn->new(
    accounts => { alice => { password => 'secret', reseller => 1 }, bob => 'secret' } );
my $gateway = Plack::App::LogMeIn->new;
$gateway->prepare_app;
my $app     = gateway( gateway => $gateway );
my $FORM    = 'user=alice&pass=secret';
my $LOGIN   = '/login/?login_only=1';
my $BY_POST = 'Send user and pass in the body of a POST request.';

sub content { my ($type) = @_; return ( CONTENT_TYPE => $type ) }

sub session {
    my ( $user, %more ) = @_;
    my $answer  = ask( $app, $LOGIN, form => "user=$user&pass=secret", %more );
    my ($token) = $answer->{body} =~ m{(/cpsess[0-9]{10})} or die $answer->{body};
    my %cookie  = ( HTTP_COOKIE => cookie_of($answer) );
    ask( $app, "$token/x", %more, %cookie );
    return ( $token, %cookie );
}
my ( $token, %alice ) = session('alice');
my ( undef,  %bob )   = session('bob');

sub link_to {
    my ($path) = @_;
    return ( $site->login( goto_uri => $path ) )[2] =~ s{\Ahttps://[^/]+}{}r;
}

sub spent_link {
    my ($path) = @_;
    my $link = link_to($path);
    ask( $app, $link );
    return $link;
}

# Every refusal that programs get, and requests that lead to it: their target, and more.
my %clear   = ( 'psgi.url_scheme' => 'http', SERVER_PORT => 2082 );
my %json    = ( HTTP_ACCEPT       => 'application/json' );
my %foreign = ( HTTP_ORIGIN       => 'https://evil.example' );
my $broken  = content('multipart/form-data; boundary=x');
my %request = (
    access_denied => [
        map { [$_] } qw(/json-api/x /xml-api/x /execute/x), "$token/json-api/x",
        "$token/xml-api/x"
    ],
    bad_form    => [ [ $LOGIN, form => 'x', content('multipart/form-data; boundary=x') ] ],
    bad_host    => [ map { [ $_, HTTP_HOST => 'a b' ] } $LOGIN, '/json-api/x', '/xml-api/x' ],
    bad_request => [
        [ $LOGIN, form => 'user=a&user=b&pass=x' ], map { [$_] } "$LOGIN&goto_uri=a&goto_uri=b",
        '/a//b?login_only=1',                       '/json-api/%2f',
        '/xml-api/%00',                             '/execute/../x'
    ],
    by_get => [
        [$LOGIN], ["$LOGIN&$FORM"],
        [ "$LOGIN&$FORM",  HTTP_ORIGIN => 'https://host.example:2083' ],
        [ "/login/?$FORM", %json ],
        [ '/login/',       %json ],
    ],
    clear_text => [
        [ $LOGIN,             %clear, form => $FORM ],
        [ "$LOGIN&$FORM",     %clear ],
        [ '/json-api/x',      %clear ],
        [ "$token/xml-api/x", %clear, %alice ],
        [ '/x',               %clear, %json ],
    ],
    content_type => [
        map { [ $LOGIN, form => $FORM, content($_) ] }
            qw(application/json text/plain multipart/mixed multipart/form-data)
    ],
    foreign_login => [
        [ $LOGIN, form => $FORM, %foreign ],
        [ $LOGIN, form => $FORM, HTTP_SEC_FETCH_SITE => 'cross-site' ],
    ],
    foreign_logout  => [ [ '/logout/', %json, %foreign, %alice ] ],
    form_length     => [ [ $LOGIN,     form => $FORM, CONTENT_LENGTH => 65_537 ] ],
    login_invalid   => [ [ $LOGIN,     form => 'user=alice&pass=x' ] ],
    login_no_user   => [ [ $LOGIN,     form => 'pass=x' ] ],
    login_parameter => [ [ $LOGIN,     form => 'user=a/b&pass=x' ] ],
    method          => [ map { [ $LOGIN, REQUEST_METHOD => $_ ] } qw(PUT DELETE TRACE FOO) ],
    no_service      => [ map { [ $_, SERVER_PORT => 5000 ] } $LOGIN, '/json-api/x', '/xml-api/x' ],
    no_session      => [
        [ '/logmein/check', HTTP_X_ORIGINAL_URI => '/json-api/x?session=lmt_' . 'A' x 43 ],
        [ '/logmein/check', HTTP_X_ORIGINAL_URI => '/xml-api//x' ],
    ],
    not_found  => [ [ '/favicon.ico', %json ] ],
    other_user => [
        sub { return ( link_to('/json-api/x'), %bob ) },
        sub { return ( link_to('/xml-api/x'),  %bob ) },
    ],
    passive => [
        sub { return ( link_to('/json-api/x'), REQUEST_METHOD => 'PUT' ) },
        sub { return ( link_to('/xml-api/x'),  HTTP_PURPOSE   => 'prefetch' ) },
        [ '/logout/', %json, HTTP_PURPOSE => 'prefetch' ],
    ],
    permission_denied =>
        [ map { [ "$token/$_/x", %alice, service => 'whm' ] } qw(json-api xml-api execute) ],
    spent => [ map { [ spent_link($_), REMOTE_ADDR => '192.0.2.9' ] } qw(/json-api/x /xml-api/x) ],
    token_missing => [ sub { return ( link_to('/') =~ s{\A.*(?=session)}{/login/?}r, %json ) } ],
    token_wrong   =>
        [ map { [ link_to($_) =~ s/cpsess[0-9]+/cpsess0000000000/r ] } qw(/json-api/x /xml-api/x) ],
    unknown => [ map { [ "$token/$_/x?session=lmt_" . 'A' x 43 ] } qw(json-api xml-api) ],
);

# Only browsers get this one; and these come from the server in front, by refusal().
my %ELSEWHERE = (
    expired     => 0,
    busy        => 503,
    head_length => 431,
    no_length   => 411,
    slow        => 408,
    too_long    => 413
);

# A refusal as a program reads it. Returns status, kind and a hash.
my @xml;

sub parsed {
    my ($answer) = @_;
    my $body = $answer->{body};
    if ( $body =~ s/\A<\?xml version="1.0" encoding="utf-8"\?>\n// ) {
        push @xml, $answer->{body};
        $body =~ m{\A<cpanelresult><status>0</status>(.*)</cpanelresult>\n\z} or return;
        return ( 'xml', { status => 0, $1 =~ m{\G<(error|reason)>([^<>]*)</\g{-2}>}g } );
    }
    my $json = eval { JSON::PP::decode_json($body) } or return;
    return if $body !~ /\A\{"status":0,/;
    return ( 'json', $json );
}

sub refused_ok {
    my ( $name, $answer, $what ) = @_;
    my ( $kind, $said ) = parsed($answer);
    my $good =
        $said && $answer->{status} =~ /\A[45][0-9][0-9]\z/ && !header_of( $answer, 'Location' );
    ok( $good, "$name: $what" ) or diag("$answer->{status} $answer->{body}");
    return ( $kind // q{}, $said );
}

my ( $count, %kinds ) = (0);
for my $name ( sort keys %request ) {
    for my $given ( @{ $request{$name} } ) {
        my ( $target, @more ) = ref $given eq 'CODE' ? $given->() : @{$given};
        my $answer = ask( $app, $target, @more );
        my ( $kind, $said ) = refused_ok( $name, $answer, "$target @more" );
        my $usual = Plack::App::LogMeIn::Answer->text_of($name);
        my %text  = ( no_session => 'no' );
        my $text  = $said->{error} // $said->{message};
        my $path  = ( { @more % 2 ? () : @more }->{HTTP_X_ORIGINAL_URI} // $target );
        is( $kind, $path =~ /xml-api/ ? 'xml' : 'json', '... in the right form' );
        is( $text, $text{$name} // $usual,              '... of this kind' )
            if $name !~ /\Alogin_/;
        is( defined $said->{message} ? 1 : 0, $target =~ /login/ ? 1 : 0, '... where it is read' );
        $count++;
    }
}
for my $name ( grep { $ELSEWHERE{$_} } sort keys %ELSEWHERE ) {
    for my $target ( $LOGIN, '/json-api/x', '/xml-api/x', '/execute/%', '/xml-api/ x' ) {
        my $answer = answer_of( $gateway->refusal( env_of($target), $ELSEWHERE{$name} ) );
        is( $answer->{status}, $ELSEWHERE{$name}, "$name of the server" );
        refused_ok( $name, $answer, $target );
        $count++;
    }
}

# Faults and waits need their own site.
{
    $site->{waits} = 1;
    ask( $app, $LOGIN, form => 'user=carol&pass=x' ) for 1 .. 5;
    my $answer = ask( $app, $LOGIN, form => 'user=carol&pass=x' );
    is( $answer->{status}, 429, 'a wait' );
    my ( undef, $said ) = refused_ok( 'login_wait', $answer, 'in JSON' );
    is( $said->{reason}, 'wait', '... with its reason' );
    $request{login_wait} = 1;
    $site->forget;
    $site->fault('store-away');
    my $faulty = gateway();
    $answer = ask( $faulty, $LOGIN, form => $FORM );
    is( $answer->{status}, 503, 'a fault at a login' );
    refused_ok( 'login_fault', $answer, 'in JSON' );

    for my $path (qw(json-api xml-api)) {
        $answer = ask( $faulty, "$token/$path/x", %alice );
        is( $answer->{status}, 503, 'a fault at a request' );
        ( undef, $said ) = refused_ok( 'fault', $answer, $path );
        is( $said->{reason}, 'fault', '... with its reason' );
    }
    @request{qw(login_fault fault)} = ();
    $site->fault(undef);
    $count += 4;
}
is_deeply(
    [ sort keys %request, keys %ELSEWHERE ],
    [ Plack::App::LogMeIn::Answer->refusals ],
    'these are all refusals that there are'
);
note("programs: $count refusals, all of them JSON or XML with status 4xx or 5xx");

# And no other answer of the gateway is a refusal.
{
    my ($file) = $INC{'Plack/App/LogMeIn.pm'};
    open my $source, '<', $file or die "$file: $!";
    my $code = do { local $/ = undef; readline $source };
    $code =~ s/\n__END__\n.*//s;
    my @made = $code =~ /\{answer\}\s*->(text|json|page|redirect)\(\s*([^\s,]+)/g;
    my %how;
    while ( my ( $way, $status ) = splice @made, 0, 2 ) { $how{"$way $status"}++ }
    is_deeply(
        [ sort keys %how ],
        [ 'json 200', 'page $note', 'page 200', 'redirect 302', 'redirect 303' ],
        'other answers of the gateway: login page, logged out, success, redirects'
    ) or diag( explain( \%how ) );
    is( scalar( () = $code =~ /\[\s*[1-5][0-9][0-9]\s*,/g ), 1, '... and 204 for a front server' );
}
SKIP: {
    skip 'python3 is not installed', 1 if system('python3 -c "" >/dev/null 2>&1') != 0;
    open my $python, '|-', 'python3', '-c', <<'PYTHON' or die "python3: $!";
import sys, xml.etree.ElementTree
for text in sys.stdin.buffer.read().split(b"\0"):
    assert xml.etree.ElementTree.fromstring(text).find("status").text == "0"
PYTHON
    print {$python} join "\0", @xml;
    close $python;
    is( $?, 0, 'a parser reads all ' . @xml . ' answers in XML' );
}

# An expired session: programs are not sent to the login page.
is(
    ask( $app, "$token/json-api/x", HTTP_COOKIE => 'cpsession=alice%3a' . 'A' x 43 )->{body},
    '{"status":0,"error":"Access denied"}',
    'a program with an ended session'
);

# Control: browsers get pages or texts for the same.
for my $target ( '/x', '/login/?user=alice', "$token/x" ) {
    unlike( ask( $app, $target )->{body}, qr/\A[\{]|<\?xml/, "control: a browser at $target" );
}

# Logins by GET: nothing is checked, and nothing counted.
my $before = length $site->log_text;
my $answer = ask( $app, "$LOGIN&$FORM" );
is( $answer->{status}, 405, 'a login by GET' );
is( $answer->{body},   qq({"status":0,"message":"$BY_POST","reason":"parameter"}), '... is told' );
is( header_of( $answer, 'Allow' ),      'POST', '... what is allowed' );
is( header_of( $answer, 'Set-Cookie' ), undef,  '... without a cookie' );
ask( $app, "$LOGIN&user=alice&pass=wrong" ) for 1 .. 10;
is( length $site->log_text, $before,                   '... and ten wrong ones leave no trace' );
is( ask( $app, $LOGIN, form => $FORM )->{status}, 200, 'control: by POST it is a login at once' );

$answer = ask( $app, "/login/?$FORM&goto_uri=%2fmail" );
is( $answer->{status},                303,       'a password in the address of a browser' );
is( header_of( $answer, 'Location' ), '/login/', '... is left' );
unlike( $answer->{body}, qr/secret/, '... and not repeated' );
my %note = ( HTTP_COOKIE => cookie_of($answer) );
$answer = ask( $app, '/login/', %note );
is( $answer->{status}, 401, '... for the login page' );
like(
    $answer->{body},
    qr/role="alert">A password in the address of a page is not accepted/,
    '... which says why'
);
like(
    ( header_of( $answer, 'Set-Cookie' ) )[0],
    qr/\Alogmein_note=no;.*Max-Age=0/,
    '... only once'
);
is( ask( $app, '/login/' )->{status}, 200, 'control: without it there is nothing to say' );
is( length $site->log_text,           length( $site->log_text ), '... and nothing is checked' );

$site->settings( login_by_get => 'yes' );
my $by_get = gateway();
$answer = ask( $by_get, "$LOGIN&$FORM&goto_uri=%2fx" );
is( $answer->{status}, 200, 'login_by_get: a login by GET' );
like( $answer->{body},    qr{\A\{"status":1,"redirect":"(/cpsess\d{10})/x",}, '... is answered' );
like( cookie_of($answer), qr/\Acpsession=alice%3a/,                           '... with a cookie' );
is( ask( $by_get, "$LOGIN&user=alice&pass=wrong" )->{status}, 401, '... and checked' );
is( ask( $by_get, "$LOGIN&$FORM", REQUEST_METHOD => 'POST' )->{status},
    200, '... also by a POST without a form' );
is( ask( $by_get, "$LOGIN&$FORM&pass=x" )->{status}, 400, '... but not with two passwords' );

for my $browser (
    [ HTTP_ORIGIN         => 'https://host.example:2083' ],
    [ HTTP_SEC_FETCH_SITE => 'none' ],
    [ HTTP_SEC_FETCH_DEST => 'document' ],
    [ HTTP_SEC_FETCH_MODE => 'navigate' ],
    [ HTTP_SEC_PURPOSE    => 'prefetch' ],
    [ HTTP_PURPOSE        => 'prefetch' ],
    [ HTTP_X_PURPOSE      => 'preview' ],
    [ HTTP_X_MOZ          => 'prefetch' ],
    [ REQUEST_METHOD      => 'HEAD' ],
    )
{
    $answer = ask( $by_get, "$LOGIN&$FORM", @{$browser} );
    is( $answer->{status},                  405,   "... but not with @{$browser}" );
    is( header_of( $answer, 'Set-Cookie' ), undef, '... and sets no cookie' );
}
is( ask( $by_get, "/login/?$FORM" )->{status}, 303, '... nor without login_only' );
my $by_get_gateway = Plack::App::LogMeIn->new;
$by_get_gateway->prepare_app;
is( $by_get_gateway->judge( env_of("$LOGIN&$FORM") ), 'form', '... its verdict is that of a form' );
is( $by_get_gateway->login_order( env_of("$LOGIN&$FORM") )->{source},
    '192.0.2.7', '... and it has its order' );
$site->settings( login_by_get => undef );

# multipart/form-data
sub multipart {
    my ( $boundary, @parts ) = @_;
    return join( q{}, map { "--$boundary\r\n$_\r\n" } @parts ) . "--$boundary--\r\n";
}

sub part {
    my ( $name, $value ) = @_;
    return qq(Content-Disposition: form-data; name="$name"\r\n\r\n$value);
}
my @ALICE = ( part( user => 'alice' ), part( pass => 'secret' ) );
my $file =
    qq(Content-Disposition: form-data; name="NAME"; filename="x"\r\nContent-Type: text/plain\r\n\r\nsecret);
my %TYPE = content('multipart/form-data; boundary=----x1');

sub log_in_with {
    my ( $body, %more ) = @_;
    return ask( $app, $LOGIN, form => $body, %TYPE, %more );
}
$answer = log_in_with( multipart( '----x1', @ALICE, part( goto_uri => '/x' ) ) );
is( $answer->{status}, 200, 'a login as multipart/form-data' );
like( $answer->{body}, qr{"redirect":"/cpsess\d+/x"}, '... with its goto_uri' );
my @good = (
    [
        'a quoted boundary',
        multipart( 'a b' =~ s/ //r, @ALICE ),
        content('multipart/form-data; boundary="ab"')
    ],
    [
        'another order',
        multipart( 'ab', @ALICE ),
        content('Multipart/Form-Data; charset=utf-8; BOUNDARY=ab')
    ],
    [ 'no line end behind it', multipart( '----x1', @ALICE ) =~ s/\r\n\z//r ],
    [ 'other headers', multipart( '----x1', map { "Content-Type: text/plain\r\n$_" } @ALICE ) ],
    [ 'names without quotes',              multipart( '----x1', map { s/"//gr } @ALICE ) ],
    [ 'a file beside it',                  multipart( '----x1', @ALICE,                 $file ) ],
    [ 'a file of the name pass beside it', multipart( '----x1', $file =~ s/NAME/pass/r, @ALICE ) ],
    [
        'all of 64 KiB',
        do {
            my $rest = 65_536 - length multipart( '----x1', @ALICE, part( x => q{} ) );
            multipart( '----x1', @ALICE, part( x => 'y' x $rest ) );
        }
    ],
);
is( log_in_with( $_->[1], @{$_}[ 2 .. $#{$_} ] )->{status}, 200, "... $_->[0]" ) for @good;
$site->account( eve => "a\r\nb=&c\xc3\xa9--" );
is(
    log_in_with(
        multipart( '----x1', part( user => 'eve' ), part( pass => "a\r\nb=&c\xc3\xa9--" ) )
    )->{status},
    200,
    '... a password is taken as it is'
);
my @bad = (
    [ 400, 'the password as a file', multipart( '----x1', $ALICE[0], $file =~ s/NAME/pass/r ) ],
    [ 401, 'an empty form',          "------x1--\r\n" ],
    [ 400, 'two users',        multipart( '----x1', @ALICE, part( user => 'bob' ) ) ],
    [ 400, 'another boundary', multipart( 'y',      @ALICE ) ],
    [ 400, 'no end',           multipart( '----x1', @ALICE ) =~ s/------x1--\r\n\z//r ],
    [ 400, 'no header',        multipart( '----x1', "\r\nx" ) ],
    [ 400, 'no name',          multipart( '----x1', "Content-Disposition: form-data\r\n\r\nx" ) ],
    [
        400, 'two names',
        multipart( '----x1', qq(Content-Disposition: form-data; name="a"; name="b"\r\n\r\nx) )
    ],
    [
        400, 'no form-data',
        multipart( '----x1', qq(Content-Disposition: attachment; name="a"\r\n\r\nx) )
    ],
    [
        400,
        'two dispositions',
        multipart( '----x1', "Content-Disposition: form-data; name=a\r\n$ALICE[0]" )
    ],
    [ 400, 'a header that is none', multipart( '----x1', "nonsense\r\n\r\nx" ) ],
    [ 400, 'no boundary', multipart( '----x1', @ALICE ), content('multipart/form-data; x=y') ],
    [
        400,                           'an invalid boundary',
        multipart( '----x1', @ALICE ), content('multipart/form-data; boundary="<>"')
    ],
    [
        400,                      'two boundaries',
        multipart( 'a', @ALICE ), content('multipart/form-data; boundary=a; boundary=b')
    ],
    [ 413, 'more than 64 KiB', multipart( '----x1', @ALICE, part( x => 'y' x 65_536 ) ) ],
    [
        413,
        '... without saying so',
        multipart( '----x1', @ALICE, part( x => 'y' x 65_536 ) ),
        CONTENT_LENGTH => undef
    ],
);
for my $case (@bad) {
    my ( $status, $name, $body, @more ) = @{$case};
    $answer = log_in_with( $body, @more );
    is( $answer->{status}, $status, "... $name: $status" );
}
{
    my $link = link_to('/');
    my ($ticket) = $link =~ /session=(.*)/;
    ask( $app, '/', %clear, %TYPE, form => multipart( '----x1', part( session => $ticket ) ) );
    is( ask( $app, $link )->{status}, 401, '... a ticket in such a form in clear text is ended' );
}
done_testing();
