package Plack::App::LogMeIn;

use strict;
use warnings;
use parent                       qw(Plack::Component);
use Plack::Util::Accessor        qw(logins_at_once ports service);
use Cpanel::LogMeIn              ();
use Cpanel::LogMeIn::Session     ();
use JSON::PP                     ();
use Plack::App::LogMeIn::Page    ();
use Plack::App::LogMeIn::Request ();
use Plack::App::LogMeIn::Slots   ();
use Socket                       qw(IPPROTO_TCP TCP_NODELAY);
use URI::Escape                  qw(uri_escape);

our $VERSION = '0.01';

my @SERVICES = qw(cpanel whm webmail);

my %COOKIE  = ( cpanel => 'cpsession', whm => 'whostmgrsession', webmail => 'webmailsession' );
my %RELOGIN = ( cpanel => 'cprelogin', whm => 'whostmgrrelogin', webmail => 'webmailrelogin' );
my %TLS_SERVICE_AT = ( 2083 => 'cpanel', 2087 => 'whm', 2096 => 'webmail' );

my %SERVICE_AT = ( %TLS_SERVICE_AT, 2082 => 'cpanel', 2086 => 'whm', 2095 => 'webmail' );

my $PATIENCE = 5;                                                # seconds to wait for a slot
my $NO_STORE = 'no-cache, no-store, must-revalidate, private';
my $EPOCH    = 'Thu, 01 Jan 1970 00:00:00 GMT';
my $INVALID  = 'The login is invalid.';
my $BUSY     = 'Too many people are logging in at this moment. Please try again.';
my $FAULT    = 'This is not possible at the moment. Please try again later.';
my $NO_USER  = 'You must specify a username to log in.';

my $JSON = JSON::PP->new->ascii->allow_nonref;

# The settings are read once, when the server starts.
sub prepare_app {
    my ($self) = @_;
    my %setting = Cpanel::LogMeIn::settings();
    die "$Cpanel::LogMeIn::detail\n" if !%setting;
    die "cookie_prefix: letters, digits, '-' and '_' only\n"
        if $setting{cookie_prefix} !~ /\A[A-Za-z0-9_-]*\z/;
    die "service: @SERVICES\n" if defined $self->service && !$COOKIE{ $self->service };
    my ($folder) = $setting{key_file} =~ m{\A(.*)/}s;
    $self->{setting}  = \%setting;
    $self->{sessions} = Cpanel::LogMeIn::Session->new;
    $self->{page}     = Plack::App::LogMeIn::Page->new(%setting);
    $self->{slots}    = Plack::App::LogMeIn::Slots->new( $folder, $self->logins_at_once );
    $self->{facts}    = {
        service         => $self->service,
        trusted_proxies => $setting{trusted_proxies},
        gateway_socket  => $setting{gateway_socket},
        cookie_name     => { map { $_ => "$setting{cookie_prefix}$COOKIE{$_}" } @SERVICES },
        service_at      => {
            %SERVICE_AT,
            %{ $self->ports // {} },
            map { ( $setting{"port.$_"} => $_ ) } @SERVICES
        },
    };
    return;
}

sub call {
    my ( $self, $env ) = @_;
    return $self->admit($env) // $self->_short( 404, 'There is nothing here.' );
}

# The answer; nothing, with the environment filled, if the request may pass.
sub admit {
    my ( $self, $env ) = @_;
    my $io = $env->{'psgix.io'};
    setsockopt $io, IPPROTO_TCP, TCP_NODELAY, 1
        if $env->{'psgi.url_scheme'} eq 'https' && defined eval { fileno $io };
    my $request = Plack::App::LogMeIn::Request->new( $env, $self->{facts} );
    my $answer  = $self->_route($request) // return;
    my ( $status, $headers, $body ) = @{$answer};
    push @{$headers}, 'Content-Length' => length $body->[0] if @{$body};
    return [ $status, $headers, $request->method eq 'HEAD' ? [] : $body ];
}

sub _route {
    my ( $self, $request ) = @_;
    return $self->_bad_request                if !$request->clean;
    return $self->_log_in_at_socket($request) if $request->at_gateway_socket;
    my $path = $request->path;
    return $self->_health                                           if $path eq '/logmein/health';
    return $self->_check($request)                                  if $path eq '/logmein/check';
    return $self->_short( 404, 'No service answers at this port.' ) if !$request->service;
    return $self->_refuse_clear_text($request)                      if !$request->secure;
    my $rest = $request->rest;
    return $self->_login($request)  if $rest =~ m{\A/login/?\z};
    return $self->_logout($request) if $rest =~ m{\A/logout/?\z};
    my $ticket = $request->ticket;
    return $self->_bad_request                                  if !$request->clean;
    return $self->_redeem( $request, $ticket, $request->place ) if defined $ticket;
    my ( $session, $reason ) = $self->_judge($request);
    return $self->_pass( $request, $session ) if $session;
    return $self->_refuse( $request, $reason );
}

# The one place that says yes to a request: there is a session if, and only if,
# its cookie, its token and its service agree.
sub _judge {
    my ( $self, $request ) = @_;
    my $cookie = $request->cookie;
    return ( undef, 'no cookie' ) if !defined $cookie;
    return $self->{sessions}->check(
        cookie    => $cookie,
        token     => $request->token,
        service   => $request->service,
        address   => $request->address,
        uncounted => $request->is_incidental,
    );
}

# The token moves from the path to the script's name.
sub _pass {
    my ( $self, $request, $session ) = @_;
    my $env = $request->env;
    delete @{$env}{qw(HTTP_REMOTE_USER HTTP_X_REMOTE_USER HTTP_X_FORWARDED_USER)};
    delete @{$env}{ grep { /\AHTTP_X_LOGMEIN_/ } keys %{$env} };
    $env->{REMOTE_USER}       = $session->{user};
    $env->{'logmein.session'} = $session;
    $env->{'logmein.user'}    = $session->{user};
    $env->{'logmein.service'} = $session->{service};
    $env->{'logmein.token'}   = $session->{token};
    $env->{'logmein.logout'}  = "$session->{token}/logout/";
    $env->{SCRIPT_NAME}       = $session->{token};
    $env->{PATH_INFO}         = substr $env->{PATH_INFO}, length $session->{token};
    return;
}

# Answers.

sub _headers {
    my ( $self, $type, @more ) = @_;
    my $hsts = $self->{setting}{hsts};
    return [
        'Content-Type'               => $type,
        'Cache-Control'              => $NO_STORE,
        'Content-Security-Policy'    => $self->{page}->policy,
        'Referrer-Policy'            => 'no-referrer',
        'X-Content-Type-Options'     => 'nosniff',
        'X-Frame-Options'            => 'DENY',
        'Cross-Origin-Opener-Policy' => 'same-origin',
        ( $hsts =~ /\A[0-9]+\z/ ? ( 'Strict-Transport-Security' => "max-age=$hsts" ) : () ),
        @more,
    ];
}

sub _short {
    my ( $self, $status, $text, @headers ) = @_;
    return [ $status, $self->_headers( 'text/plain; charset="utf-8"', @headers ), ["$text\n"] ];
}

sub _bad_request {
    my ($self) = @_;
    return $self->_short( 400, 'This request is not in order.' );
}

# Pairs in their order, for some clients match the text.
sub _json {
    my ( $self, $status, $pairs, @headers ) = @_;
    my @pairs = @{$pairs};
    my @text;
    while ( my ( $name, $value ) = splice @pairs, 0, 2 ) {
        push @text, "\"$name\":" . $JSON->encode($value);
    }
    my $body = '{' . join( q{,}, @text ) . '}';
    return [ $status, $self->_headers( 'text/plain; charset="utf-8"', @headers ), [$body] ];
}

sub _page {
    my ( $self, $status, $service, $parts, @headers ) = @_;
    my $html = $self->{page}->html( service => $service, %{$parts} );
    return [ $status, $self->_headers( 'text/html; charset=utf-8', @headers ), [$html] ];
}

sub _login_page {
    my ( $self, $status, $request, $parts, @headers ) = @_;
    return $self->_page( $status, $request->service, { login => 1, %{$parts} }, @headers );
}

# Some clients follow the header, some the META element.
sub _redirect {
    my ( $self, $place, @headers ) = @_;
    my $attribute = $place =~ s/&/&amp;/gr;
    my $body      = <<"HTML";
<!DOCTYPE html>
<html><head><meta http-equiv="refresh" content="2;URL=$attribute"><title>Log in</title></head>
<body><a href="$attribute">Continue</a></body></html>
HTML
    return [
        302, $self->_headers( 'text/html; charset=utf-8', Location => $place, @headers ), [$body]
    ];
}

sub _fault {
    my ( $self, $request ) = @_;
    my @headers = ( 'Retry-After' => $PATIENCE );
    return $self->_json( 503, [ status => 0, error => $FAULT ], @headers )
        if $request->wants_json;
    return $self->_page( 503, $request->service,
        { heading => 'Not available', alert => $FAULT }, @headers );
}

sub _cookie {
    my ( $self, $service, $name, $value, @more ) = @_;
    my $port = $self->{setting}{"port.$service"};
    my $text = join q{; }, "$name=$value", 'HttpOnly', 'path=/', "port=$port", 'secure',
        'SameSite=Lax', @more;
    return ( 'Set-Cookie' => $text );
}

sub _cookies {
    my ( $self, $service, $value, $relogin, @more ) = @_;
    return (
        $self->_cookie( $service, $self->{facts}{cookie_name}{$service}, $value,   @more ),
        $self->_cookie( $service, $RELOGIN{$service},                    $relogin, @more ),
    );
}

# Refusals.

sub _refuse {
    my ( $self, $request, $reason ) = @_;
    return $self->_fault($request)                        if $reason eq 'fault';
    return $self->_short( 404, 'There is nothing here.' ) if $request->is_incidental;
    return $self->_refuse_program($request)               if $request->wants_json;
    return $self->_token_denied($request)                 if $reason eq 'wrong_token';
    my $alert =
        $reason eq 'no cookie'
        ? undef
        : 'Your session has expired. Please log in again.';
    return $self->_login_page( 401, $request, { alert => $alert, goto_uri => $request->place } );
}

# A call that would be right at another port is told so.
sub _refuse_program {
    my ( $self, $request ) = @_;
    my $elsewhere;
    for my $service ( grep { $_ ne $request->service } @SERVICES ) {
        for my $cookie ( grep { defined } $request->cookie($service), $request->cookie ) {
            $elsewhere ||= $self->{sessions}->check(
                cookie    => $cookie,
                token     => $request->token,
                service   => $service,
                uncounted => 1
            );
        }
    }
    return $self->_json( 403,
        [ status => 0, error => $elsewhere ? 'Permission denied' : 'Access denied' ] );
}

sub _token_denied {
    my ( $self, $request ) = @_;
    my $place = $request->place;
    return $self->_page(
        401,
        $request->service,
        {
            heading => 'Invalid Security Token',
            alert   => defined $request->token
            ? 'The security token in your request is invalid.'
            : 'The security token is missing from your request.',
            link      => '/login/' . _goto_query($place),
            link_text => 'Log in again',
        }
    );
}

# Nothing is believed that came in clear text, and nothing is sent on but the
# path: a secret seen there has been seen by others.
sub _refuse_clear_text {
    my ( $self, $request ) = @_;
    my $host = $request->host;
    my $mine = eval {
        $request->read_form if $request->method eq 'POST';
        $self->{sessions}->discard($_) for $request->all('session');
        defined $host && $self->{sessions}->serves($host);
    };
    return $self->_fault($request)                    if !defined $mine;
    return $self->_short( 400, 'Use https, please.' ) if !$mine;
    my $port = $self->{setting}{ 'port.' . $request->service };
    return $self->_redirect(
        "https://$host:$port" . uri_escape( $request->path, q{^!#-;=?-_a-z~} ) );
}

# Logging out.

# For the back button browsers keep even pages that are marked no-store, until
# a cookie of the site changes. Chromium overlooks the end of cookies that were
# set twice with one value; a new cookie it sees.
sub _left {
    my ( $self, $service ) = @_;
    return $self->_cookie( $service, 'logmein_left', time, 'Max-Age=1' );
}

sub _logout {
    my ( $self, $request ) = @_;
    return $self->_passive if _is_passive($request);
    my $cookie = $request->cookie;
    my ( $session, $reason ) = ( undef, 'no cookie' );
    ( $session, $reason ) = $self->{sessions}->end(
        cookie    => $cookie,
        token     => $request->token,
        any_token => !defined $request->token,
        service   => $request->service,
        address   => $request->address,
    ) if defined $cookie;
    return $self->_fault($request)        if $reason eq 'fault';
    return $self->_token_denied($request) if $reason eq 'wrong_token';
    return $self->_login_page(
        200,
        $request,
        { news => 'You have logged out.' },
        $self->_cookies( $request->service, 'no', 'no', "expires=$EPOCH", 'Max-Age=0' ),
        $self->_left( $request->service ),
        'Clear-Site-Data' => '"cache"'
    );
}

# Redeeming.

# A link checker, or a browser that looks ahead: nobody has followed the link.
sub _is_passive {
    my ($request) = @_;
    return $request->method !~ /\A(?:GET|POST)\z/ || ( $request->purpose // q{} ) =~ /\bpre/i;
}

sub _passive {
    my ($self) = @_;
    return $self->_short( 403, 'Open this link in a browser.' );
}

# The canonical form of a goto_uri; undef if it is none.
sub _place_of {
    my ($wish) = @_;
    return Cpanel::LogMeIn::goto_uri( $wish // q{} );
}

sub _goto_query {
    my ($place) = @_;
    return !defined $place || $place eq q{/} ? q{} : '?goto_uri=' . _encode($place);
}

sub _encode {
    my ($text) = @_;
    return uri_escape( $text, '^A-Za-z0-9._~-' );
}

# The GET that does the same as a POST from another site asked for.
sub _redeem_url {
    my ( $token, $ticket, $place ) = @_;
    my $url = ( $token // q{} ) . '/login/?session=' . _encode($ticket);
    return $place eq q{/} ? $url : "$url&goto_uri=" . _encode($place);
}

# $place is where to go on to, behind the token.
sub _redeem {
    my ( $self, $request, $ticket, $place, $confirmed ) = @_;
    $place //= q{/};
    return $self->_redirect( _redeem_url( $request->token, $ticket, $place ) )
        if $request->method eq 'POST' && $request->is_cross_site;
    my ( $session, $reason, $confirm ) = $self->{sessions}->redeem(
        ticket    => $ticket,
        cookie    => $request->cookie,
        token     => $request->token,
        service   => $request->service,
        address   => $request->address,
        agent     => $request->agent,
        method    => $request->method,
        purpose   => $request->purpose,
        confirmed => $confirmed,
    );
    return $self->_redirect( "$session->{token}$place",
        $self->_cookies( $session->{service}, $session->{cookie}, 'no' ) )
        if $session && $reason eq 'granted';
    return $self->_redirect("$session->{token}$place")        if $session && $reason eq 'again';
    return $self->_fault($request)                            if $reason eq 'fault';
    return $self->_passive                                    if $reason eq 'passive';
    return $self->_token_denied($request)                     if $reason eq 'wrong_token';
    return $self->_ask( $request, $ticket, $place, $confirm ) if $reason eq 'confirm';
    my $alert =
        $reason eq 'spent'
        ? 'This link has been used.'
        : 'This link is not valid, or not any more. Please log in.';
    return $self->_login_page( 401, $request, { alert => $alert, goto_uri => $place } );
}

sub _ask {
    my ( $self, $request, $ticket, $place, $confirm ) = @_;
    my ( $user, $current ) = @{$confirm}{qw(user current)};
    return $self->_page(
        409,
        $request->service,
        {
            heading  => "Continue as $user?",
            news     => "You are logged in as $current. Continue as $user?",
            confirm  => 1,
            action   => $request->token . '/login/',
            ticket   => $ticket,
            goto_uri => $place,
            user     => $user,
            current  => $current,
            stay     => "$confirm->{current_token}/",
        }
    );
}

# Logging in.

sub _login {
    my ( $self, $request ) = @_;
    my $method = $request->method;
    return $self->_short( 405, 'Use GET or POST.', Allow => 'GET, HEAD, POST' )
        if $method !~ /\A(?:GET|HEAD|POST)\z/;
    return $self->_short( 413, 'A login form is shorter, and has another type.' )
        if $method eq 'POST' && !$request->read_form;
    my $ticket = ( $method eq 'POST' ? $request->form('session') : undef )
        // $request->query('session');
    my %field = map { $_ => $request->form($_) } qw(user pass active_token_for_reuse tfa_token);
    $field{goto_uri} = $request->form('goto_uri') // $request->query('goto_uri');
    my $place     = _place_of( $field{goto_uri} );
    my $confirmed = ( $request->form('confirmed')   // q{} ) eq '1';
    my $json      = ( $request->query('login_only') // q{} ) eq '1';
    return $self->_bad_request                                         if !$request->clean;
    return $self->_redeem( $request, $ticket, $place, $confirmed )     if defined $ticket;
    return $self->_login_page( 200, $request, { goto_uri => $place } ) if $method ne 'POST';
    return $self->_log_in( $request, $json, $place, %field );
}

# Asks for a login, with no more hashes at once than the machine can compute.
# The answer of a gateway that is too busy looks like a core's. Slots lie in the
# folder of the store, which looking at it has made; where that is not possible
# the core says what is wrong, before it computes a hash.
sub _ask_core {
    my ( $self, $how, %login ) = @_;
    my $well = $self->_is_well;
    my $slot = $well && eval { $self->{slots}->take($PATIENCE) };
    return $self->{sessions}->$how(%login) if $slot || !$well;
    return { login_ok => 0, fault => 1, wait => 0, message => $@ ? $FAULT : $BUSY };
}

sub _log_in {
    my ( $self, $request, $json, $place, %field ) = @_;
    my $by_url = $request->is_cross_site;
    my $answer =
        length( $field{user} // q{} )
        ? $self->_ask_core(
        $by_url ? 'log_in_by_url' : 'log_in',
        %field,
        hostname    => 'localhost',
        service     => $request->service,
        remote_addr => $request->address,
        )
        : { login_ok => 0, fault => 0, wait => 0, message => $NO_USER };
    return $self->_login_failed( $request, $json, $answer, $place ) if !$answer->{login_ok};
    return $self->_send_on( $json, $answer )                        if $by_url;
    return $self->_logged_in( $request, $json, $answer, $place );
}

# Status and headers of a refusal.
sub _status_of {
    my ($answer) = @_;
    my $message = $answer->{message};
    return ( 503, 'Retry-After' => $PATIENCE )       if $answer->{fault};
    return ( 429, 'Retry-After' => $answer->{wait} ) if $answer->{wait};
    return $message eq $INVALID || $message eq $NO_USER ? 401 : 400;
}

sub _login_failed {
    my ( $self, $request, $json, $answer, $place ) = @_;
    my $message = $answer->{message};
    my ( $status, @headers ) = _status_of($answer);
    return $self->_login_page( $status, $request, { alert => $message, goto_uri => $place },
        @headers )
        if !$json;
    my %code = ( $INVALID => 'see_login_log', $NO_USER => 'no_username' );
    return $self->_json( $status, [ status => 0, message => $code{$message} // $message ],
        @headers );
}

# What every client reads of a good login.
sub _success {
    my ( $place, $answer ) = @_;
    return [ status => 1, redirect => $place, security_token => $answer->{token} ];
}

# A page of another site may not choose who the browser is logged in as: the
# browser follows a login URL, as if the user had.
sub _send_on {
    my ( $self, $json, $answer ) = @_;
    my ($place) = $answer->{url} =~ m{\Ahttps://[^/]+(/.*)\z}s;
    return $self->_json( 200, _success( $place, $answer ) ) if $json;
    return $self->_redirect($place);
}

# A program keeps its starter, for it may want it in the place of a ticket.
sub _logged_in {
    my ( $self, $request, $json, $answer, $place ) = @_;
    my $cookie = $json ? $answer->{cookie} : $self->_replace_session( $request, $answer );
    return $self->_fault($request) if !defined $cookie;
    my @cookies = $self->_cookies( $request->service, $cookie, 'no' );
    $place = "$answer->{token}$place";
    return $self->_json( 200, _success( $place, $answer ), @cookies ) if $json;
    return $self->_redirect( $place, @cookies );
}

# A browser that is logged in already gets its new cookie and loses the old
# session in one step. For any other the starter will do.
sub _replace_session {
    my ( $self, $request, $answer ) = @_;
    my %visit = ( cookie => $request->cookie, service => $request->service );
    return $answer->{cookie} if !defined $visit{cookie};
    my ( undef, $reason ) = $self->{sessions}->check( %visit, uncounted => 1 );
    return $answer->{cookie} if $reason !~ /\A(?:fault|wrong_token)\z/;
    my ($session) = $self->{sessions}->redeem(
        %visit,
        ticket    => $answer->{cookie},
        token     => $answer->{token},
        address   => $request->address,
        agent     => $request->agent,
        confirmed => 1,
    );
    return $session ? $session->{cookie} : undef;
}

# The gateway's socket: logins of processes of this machine, and nothing else.
# The host that they name is the one that the URL shall have.
sub _log_in_at_socket {
    my ( $self, $request ) = @_;
    my ( $host, $port )    = ( $request->host, $request->host_port );
    my $service = $TLS_SERVICE_AT{ $port // q{} };
    my $uid     = $request->caller_uid;
    return $self->_bad_request
        if !defined $uid
        || !$service
        || $request->method ne 'POST'
        || $request->path !~ m{\A/login/?\z}
        || !$request->read_form;
    my %field = map { $_ => $request->form($_) }
        qw(user pass goto_uri active_token_for_reuse tfa_token remote_addr);
    return $self->_bad_request if !$request->clean;
    delete $field{remote_addr} if !$self->_is_believed($uid);
    my $answer = $self->_ask_core(
        'log_in_by_url', %field,
        hostname   => $host,
        service    => $service,
        caller_uid => $uid
    );
    my ( $status, @headers ) = _status_of($answer);
    return $self->_json( $status, [ status => 0, message => $answer->{message} ], @headers )
        if !$answer->{login_ok};
    my $place = $answer->{token} . _place_of( $field{goto_uri} );
    return $self->_json( 200, [ @{ _success( $place, $answer ) }, login_url => $answer->{url} ] );
}

# Whose word on the browser's address counts: root's, the store's owner's, and
# that of socket_callers.
sub _is_believed {
    my ( $self, $uid ) = @_;
    my $owner = ( stat $self->{setting}{key_file} )[4];
    return 1 if $uid == 0 || ( defined $owner && $uid == $owner );
    return grep { my $id = getpwnam $_; defined $id && $id == $uid }
        split q{ }, $self->{setting}{socket_callers};
}

# For front servers.

sub _is_well {
    my ($self) = @_;
    my ( undef, $reason ) = $self->{sessions}->check(
        service => 'cpanel',
        cookie  => 'nobody%3a' . 'A' x 43,
    );
    return $reason ne 'fault';
}

sub _health {
    my ($self) = @_;
    return $self->_is_well ? $self->_short( 200, 'ok' ) : $self->_short( 503, 'fault' );
}

# Only 204 is a yes.
sub _check {
    my ( $self, $request ) = @_;
    my $original = $request->original;
    return $self->_short( 401, 'no' )
        if !$original->clean || !$original->secure || !$original->service;
    my $ticket = $original->ticket;
    my $place  = $original->place;
    return $self->_short( 401, 'no' ) if !$original->clean;
    return $self->_short( 401, 'no',
        'X-LogMeIn-Login' => _redeem_url( $original->token, $ticket, $place // q{/} ) )
        if defined $ticket;
    my ( $session, $reason ) = $self->_judge($original);
    return [
        204,
        [
            'Cache-Control'     => $NO_STORE,
            'X-LogMeIn-User'    => $session->{user},
            'X-LogMeIn-Service' => $session->{service},
        ],
        []
        ]
        if $session;
    return $self->_fault($original)          if $reason eq 'fault';
    return $self->_refuse_program($original) if $original->wants_json;
    return $self->_short( 401, 'no', 'X-LogMeIn-Login' => '/login/' . _goto_query($place) );
}

1;

__END__

=head1 NAME

Plack::App::LogMeIn - the gateway: login page, login URLs, logout, request check

=head1 SYNOPSIS

    # gateway.psgi: behind a web server that protects its pages itself
    use Plack::App::LogMeIn ();

    Plack::App::LogMeIn->new->to_app;

=head1 DESCRIPTION

The web side of L<Cpanel::LogMeIn>. It answers, for each service at its port:

=over 4

=item C<GET /login/>

The login page: one file, without scripts, that fetches nothing. Every page
that somebody without a session asks for shows it, too, with status 401, and
leads on to that page.

=item C<POST /login/>

A form with C<user>, C<pass> and perhaps C<goto_uri>,
C<active_token_for_reuse> and C<tfa_token>, url-encoded and at most 65,536
bytes long. Good: a redirect to C</cpsess##########> and goto_uri, with a
session cookie. Bad: the page, with status 401; 429 and C<Retry-After> in a
wait; 400 for what no login can have; 503 for a fault.

If the browser is logged in already, that session ends. If the form came from
another site, no cookie is set: the browser is sent to a login URL, where
L<Cpanel::LogMeIn::Session/redeem> decides.

=item C<POST /login/?login_only=1>

The same for programs, in JSON:

    {"status":1,"redirect":"/cpsess0123456789/x","security_token":"/cpsess0123456789"}
    {"status":0,"message":"see_login_log"}

A wrong login is C<see_login_log>, a missing name C<no_username>; every other
message is a sentence. The cookie is a starter: good as a cookie, or once in
the place of a ticket.

=item C<GET /cpsess##########/...?session=lmt_...>

A login URL of the direct form, on any path. A parameter C<session> that is no
ticket belongs to the page.

=item C<GET /cpsess##########/login/?session=...&goto_uri=...>

A login URL of the other form; also as a POST to C</cpsess##########/login>.
Of both forms: a redirect with a cookie, or a page that says why not. HEAD,
OPTIONS and browsers that look ahead spend nothing.

=item C</logout>, C</cpsess##########/logout>

Ends the session. The page says so, and the service's two cookies expire. A
third one, C<logmein_left>, lives for a second: it makes browsers drop the pages
that they keep for their back button.

=item C</logmein/check>

For front servers, see below.

=item C</logmein/health>

200 if the store can be read, otherwise 503.

=back

Everything else needs a session's cookie and its token in the path. Without the
token there is a page that is headed "Invalid Security Token". Programs, which
ask for paths below F</json-api/>, F</xml-api/> or F</execute/> or accept
C<application/json>, are answered in JSON: 403 and C<Access denied>, or
C<Permission denied> if they would be right at another service's port.

This app has nothing behind it: L<Plack::Middleware::LogMeIn> puts another app
there, a front server its own pages.

=head2 The port decides

which service a request is for: the ports of the settings C<port.cpanel>,
C<port.whm> and C<port.webmail>, their usual ones, and 2082, 2086 and 2095 for
clear text. At another port there is nothing, unless C<service> is given.

Over clear text nobody is let in. The browser is sent to the TLS port, without
the query, and only if it knows the machine by one of its names; a ticket that
came in clear text ends.

=head2 Paths

A path with an encoded control byte, slash or backslash, with C<//>, with a
segment C<.> or C<..>, with a C<%> that encodes nothing, or that is no UTF-8, is
answered with 400: servers do not agree on what it means. So is a parameter that
comes twice.

=head1 FRONT SERVERS

A front server is believed if it connects through a Unix socket other than
C<gateway_socket>, or from an address in C<trusted_proxies>. It must send
C<X-Forwarded-Proto>, C<X-Forwarded-Port> (the port that the browser has
connected to) and C<X-Forwarded-For>, of which the last address counts that is
no trusted proxy's. From anybody else these headers mean nothing.

It asks C</logmein/check> about a request, with C<X-Original-URI> (the target
as the browser sent it, not decoded), C<X-Original-Method> and the browser's
other headers:

=over 4

=item C<204>

Yes, and nothing else is a yes. C<X-LogMeIn-User> and C<X-LogMeIn-Service> tell
who it is.

=item C<401>, C<403>

No. C<X-LogMeIn-Login>, if it is there, is the path to send a browser to.

=item C<503>

A fault: ask again later, and let nobody in.

=back

=head1 THE SOCKET

Served at the path of the setting C<gateway_socket>, the app answers
C<POST /login/> of local programs, and nothing else. C<Host> names the host and,
by the usual port, the service; the answer has the C<login_url>, too:

    {"status":1,"redirect":...,"security_token":...,"login_url":"https://..."}

Of a refusal C<message> is the sentence of
L<Cpanel::LogMeIn/get_loggedin_url>. The user of the calling process is logged.
C<remote_addr> in the form is believed from root, the store's owner and
C<socket_callers>. Without it, failures of anybody else count against the
calling user.

The web server must offer C<psgix.io>, as Starman does.

=head1 OPTIONS

=over 4

=item C<service>

C<cpanel>, C<whm> or C<webmail>, whatever the port.

=item C<ports>

A hash of further ports and their services, for clear text at other ports than
the usual ones.

=item C<logins_at_once>

How many password hashes are computed at once, over all processes; by default
as many as there are processors. Others wait up to 5 seconds, and are then
answered with 503 and C<Retry-After>.

=back

=head1 METHODS

=head2 prepare_app, call

As L<Plack::Component> has them. Settings are read when the app is prepared;
it dies if they are not in order.

=head2 admit

    my $answer = $gateway->admit($env);

The answer to a request; nothing if it may pass, and then the environment holds
what L<Plack::Middleware::LogMeIn> says.

=head1 DIAGNOSTICS

Besides the sentences of L<Cpanel::LogMeIn> the pages say:

=over 4

=item C<You must specify a username to log in.>

=item C<Your session has expired. Please log in again.>

=item C<This link has been used.>

By another browser, or by this one, which has logged out since.

=item C<This link is not valid, or not any more. Please log in.>

=item C<The security token is missing from your request.>

=item C<The security token in your request is invalid.>

=item C<You have logged out.>

=item C<You are logged in as A. Continue as B?>

=item C<Too many people are logging in at this moment. Please try again.>

=item C<This is not possible at the moment. Please try again later.>

A fault; the log has its cause.

=back

When the app is prepared it may die of C<cookie_prefix>, C<page_logo> or
C<service>, with a sentence.

=head1 SECURITY

C<_judge> in this file is the one place that says yes to a request, and
C<decide> in F<csrc/redeem.c> to a ticket.

Of several session cookies with one name none counts, for a site of a
neighbouring name may have set the other. Where every client is a browser, the
setting C<cookie_prefix = __Host-> keeps others from setting any.

No answer repeats what a client has sent, except goto_uri in its canonical
form.

=head1 SEE ALSO

L<Plack::Middleware::LogMeIn>, L<Cpanel::LogMeIn::Session>, L<Cpanel::LogMeIn>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
